"""Words that carry grammar rather than meaning, by language, and are left out of the index.

The lists hold closed word classes only (articles, pronouns, prepositions, conjunctions, auxiliary
verbs and the stumps that apostrophes leave behind), so no word with a subject of its own is ever
lost. A language without a list is searched with all its words: their frequency already gives them
next to no weight.
"""

from __future__ import annotations

from typing import Final

__all__ = ["stop_words"]

_ENGLISH = """
a about above after again against all also am an and any are aren as at be because been before
being below between both but by can cannot could couldn d did didn do does doesn doing don down
during each either few for from further had hadn has hasn have haven having he her here hers
herself him himself his how i if in into is isn it its itself just ll m me might mine more most
must my myself neither no nor not of off on once only onto or other ought our ours ourselves out
over own re s same shall she should shouldn so some such t than that the their theirs them
themselves then there these they this those though through to too under until up upon us ve very
was wasn we were weren what when where whether which while who whom whose why will with within
without won would wouldn yet you your yours yourself yourselves
"""

_GERMAN = """
aber alle allem allen aller alles als also am an ander andere anderem anderen anderer anderes auch
auf aus bei beim bin bis bist da dabei dadurch dafür damit dann das dass dazu dein deine deinem
deinen deiner dem den denn der deren des dessen dich die dies diese diesem diesen dieser dieses
dir doch dort du durch ein eine einem einen einer eines er es etwas euch euer eure eurem euren
eurer für gegen hab habe haben habt hast hat hatte hatten hier hin hinter ich ihm ihn ihnen ihr
ihre ihrem ihren ihrer ihres im in indem ins ist ja jede jedem jeden jeder jedes jene jenem jenen
jener jenes kann kannst kein keine keinem keinen keiner können könnte man manche manchem manchen
mancher manches mein meine meinem meinen meiner mich mir mit muss musste müssen nach nicht nichts
noch nun nur ob oder ohne sehr sein seine seinem seinen seiner seines seit selbst sich sie sind so
solche solchem solchen solcher soll sollen sollte sondern sonst über um und uns unser unsere
unserem unseren unserer unter vom von vor wann war waren warst warum was weg weil weiter welche
welchem welchen welcher welches wenn wer werde werden wie wieder wieso will wir wird wirst wo
wollen wollte wurde wurden würde würden zu zum zur zwar zwischen
"""

_FRENCH = """
à ai aie ait alors as au aucun aucune aussi autre autres aux avaient avais avait avant avec avez
avoir avons ayant c car ce ceci cela celle celles celui ces cet cette ceux chez comme comment d
dans de depuis des dont du elle elles en entre es est et étaient étais était étant été être eu eux
fut il ils j je jusqu l la le les leur leurs lui lorsque lorsqu m ma mais me même mêmes mes moi
mon n ne ni nos notre nous on ont or ou où par parce pas pendant peu plus pour pourquoi puis qu
quand que quel quelle quelles quels qui quoi s sa sans se selon sera serait seront ses si soi son
sont sous suis sur t ta te tes toi ton tous tout toute toutes tu un une vers vos votre vous y
"""

_SPANISH = """
a al algo algún alguna algunas alguno algunos ante antes aquel aquella aquellas aquello aquellos
aquí así aun aunque bajo bien cada como cómo con contra cual cuál cuales cuáles cualquier cuando
cuándo cuyo cuya de del desde donde dónde durante e el él ella ellas ello ellos en entre era eran
eres es esa esas ese eso esos esta está están estar estas este esto estos estoy fue fueron ha
había habían han has hasta hay haber he la las le les lo los más me mi mí mis mismo misma mismos
mismas muy nada ni no nos nosotras nosotros nuestra nuestras nuestro nuestros o os otra otras otro
otros para pero poco por porque pues qué que quien quién quienes se sea sean según ser será si sí
sido sin sino sobre sois somos son soy su sus también tan tanto te ti tiene tienen todo todos toda
todas tu tú tus un una unas uno unos vosotras vosotros vuestra vuestro y ya yo
"""

_ITALIAN = """
a abbiamo ad agli ai al alcuna alcune alcuni alcuno all alla alle allo altra altre altri altro
anche ancora aveva avevano avere c che chi ci ciò coi col come con contro cui d da dagli dai dal
dall dalla dalle dallo degli dei del dell della delle dello di dopo dove e è ed egli era erano
essa esse essere essi esso fra fu furono gli ha hai hanno ho i il in io l la le lei li lo loro lui
ma me mentre mi mia mie miei mio ne negli nei nel nell nella nelle nello no noi non nostra nostre
nostri nostro o od ogni oppure per perché però più poi qua quale quali qualche quando quanto quel
quell quella quelle quelli quello questa queste questi questo qui quindi s sarà se sei senza si
sia siamo siano sono sta stata state stati stato su sua sue sugli sui sul sull sulla sulle sullo
suo suoi tra tu tua tue tuo tuoi tutta tutte tutti tutto un una uno vi voi vostra vostro
"""

_PORTUGUESE = """
a à algum alguma algumas alguns ante antes ao aos após aquela aquelas aquele aqueles aquilo as às
assim até bem cada com como contra cuja cujo da das de dela delas dele deles depois desde dessa
desse desta deste do dos durante e é ela elas ele eles em embora entre era eram essa essas esse
esses esta está estão estar estas este estes eu foi foram for há isso isto já la lhe lhes lo mais
mas me mesma mesmas mesmo mesmos meu meus minha minhas muito na não nas nem nenhum nenhuma no nos
nós nossa nossas nosso nossos num numa o onde os ou outra outras outro outros para pela pelas pelo
pelos por porém porque pois qual quais qualquer quando quanto que quem são se seja sem sendo ser
será seu seus si sido só sob sobre sua suas também tão te tem têm ter teu teus tinha toda todas
todo todos tu tua tuas um uma umas uns você vocês vos
"""

_DUTCH = """
aan al alle alleen als altijd ander andere ben bent bij daar dan dat de den der deze die dit doch
doen door dus een eens en er ge geen had hadden haar heb hebben hebt heeft hem hen het hier hij
hoe hun iemand iets ik in is ja je jij jou jouw jullie kan kon kunnen maar me meer men met mij
mijn moet moeten na naar niet niets nog nu of om omdat onder ons onze ook op over reeds s steeds t
te tegen tijdens toch toen tot tussen u uit uw van veel voor waar waarom waren was wat we wel welk
welke werd werden wie wij wil word worden wordt zal ze zei zelf zich zij zijn zo zonder zou zouden
zullen
"""

_LISTS: Final = {
    "dutch": _DUTCH,
    "english": _ENGLISH,
    "french": _FRENCH,
    "german": _GERMAN,
    "italian": _ITALIAN,
    "portuguese": _PORTUGUESE,
    "spanish": _SPANISH,
}


def stop_words(language: str) -> frozenset[str]:
    """The lower-case stop words of a language; empty for a language without a list."""
    return frozenset(_LISTS.get(language, "").split())
