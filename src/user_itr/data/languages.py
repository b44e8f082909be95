"""In which language a short text seems to be, by its script and its commonest words."""

from __future__ import annotations

import re
import unicodedata

FUNCTION_WORDS = {
    language: frozenset(words.split())
    for language, words in {
        "English": "a an the and or of in on at to by for from with without into onto over "
        "under up down out off near is are was were be been being am has have had "
        "do does did it its he him his she her hers they them their this that "
        "these those there here who which what while as i you we us our my your "
        "me not no some any each both two one three s t",
        "German": "der die das den dem des ein eine einen einem einer eines und oder mit "
        "ohne im am auf aus bei beim vor von vom zu zum zur unter über hinter "
        "neben zwischen ist sind wird nicht kein keine er sie es sich ihr ihre "
        "sein seine auch nach durch für einander",
        "French": "le la les un une des du de et ou dans sur avec sans sous au aux est sont "
        "il elle ils elles qui que à par pour ne pas son sa ses leur ce cette "
        "devant derrière près chez",
        "Spanish": "el la los las un una unos unas y o de del en con sin por para al sobre "
        "bajo es son está están que se su sus no junto entre desde hacia este "
        "esta",
        "Italian": "il lo la i gli le un uno una e o di del della dei delle in nel nella con "
        "senza su sul sulla per da dal dalla è sono che non suo sua tra fra al "
        "alla",
        "Portuguese": "o a os as um uma uns umas e ou de do da dos das em no nos nas com sem "
        "por para ao à sobre sob é são está que não seu sua entre pela pelo",
        "Dutch": "de het een en of van in op met zonder bij voor naar uit aan onder over "
        "tussen is zijn wordt niet geen hij zij ze er die dat deze dit haar hun "
        "door naast",
        "Swedish": "en ett och eller i på med utan av till från vid för under över mellan är "
        "som den det de inte hans hennes sig han hon genom bredvid",
        "Polish": "i w we na z ze do od o u po pod nad przy przez dla bez jest są nie się "
        "to ten ta który która oraz jak obok",
        "Turkish": "bir ve ile için bu şu o da de üzerinde altında içinde olan değil yanında "
        "gibi çok",
    }.items()
}
"""Articles, pronouns, prepositions and the like."""

_SCRIPTS = {
    "CJK": "Chinese or Japanese",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "HANGUL": "Korean",
    "CYRILLIC": "a language in Cyrillic letters",
    "GREEK": "Greek",
    "ARABIC": "a language in Arabic letters",
    "HEBREW": "Hebrew",
    "THAI": "Thai",
    "DEVANAGARI": "a language in Devanagari letters",
}


def foreign_language(text: str) -> str | None:
    """The language that a text seems to be in, where it does not seem to be English.

    Letters that are not Latin decide, else the words of `FUNCTION_WORDS`; a text without either
    could be in any language, and counts as English.
    """
    letters = [letter for letter in text if letter.isalpha()]
    scripts = [unicodedata.name(letter, "?").split(" ")[0].split("-")[0] for letter in letters]
    others = [script for script in scripts if script != "LATIN"]
    if 2 * len(others) > len(letters):
        japanese = {"HIRAGANA", "KATAKANA"} & set(others)
        script = japanese.pop() if japanese else max(set(others), key=others.count)
        return _SCRIPTS.get(script, "a language in other letters")
    words = re.findall(r"[^\W\d_]+", text.lower())
    counts = {language: _count(words, known) for language, known in FUNCTION_WORDS.items()}
    language = max(counts, key=lambda name: counts[name])  # of equals the first, which is English
    return None if language == "English" else language


def _count(words: list[str], known: frozenset[str]) -> int:
    return sum(word in known for word in words)
