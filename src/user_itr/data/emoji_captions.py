"""Short natural captions from the names and aliases that the package `emoji` lists."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

MOST = 5
"""The most captions an emoji gets."""

_COMPONENT = 1  # skin tones and hair styles: parts of an emoji, not drawings of their own

# fmt: off
_ZODIAC = frozenset({
    "Aries", "Taurus", "Gemini", "Cancer", "Leo", "Virgo", "Libra", "Scorpio", "Sagittarius",
    "Capricorn", "Aquarius", "Pisces", "Ophiuchus",
})
# fmt: on

# Names that are adjectives or verbs, or say little of the drawing without their emoji.
_RENAMED = {
    "badminton": "badminton racket and shuttlecock",
    "biohazard": "biohazard sign",
    "bowling": "bowling ball and pins",
    "breast-feeding": "woman breast-feeding a baby",
    "camping": "tent of a camping site",
    "children crossing": "sign for children crossing",
    "collision": "collision burst",
    "construction": "construction barrier",
    "cooking": "egg in a frying pan",
    "copyright": "copyright sign",
    "customs": "customs officer sign",
    "dashing away": "cloud of someone dashing away",
    "divide": "division sign",
    "dizzy": "dizzy star",
    "exploding head": "face with an exploding head",
    "field hockey": "field hockey stick and ball",
    "foggy": "foggy city",
    "high voltage": "high voltage lightning bolt",
    "horse racing": "jockey racing on a horse",
    "hundred points": "score of one hundred points",
    "ice hockey": "ice hockey stick and puck",
    "infinity": "infinity sign",
    "information": "information sign",
    "input latin letters": "button for Latin letters",
    "input latin lowercase": "button for lowercase letters",
    "input latin uppercase": "button for uppercase letters",
    "input numbers": "button for numbers",
    "input symbols": "button for symbols",
    "keycap 10": "keycap ten",
    "lacrosse": "lacrosse stick and ball",
    "litter in bin sign": "sign for putting litter in the bin",
    "link": "chain link",
    "locked": "locked padlock",
    "locked with key": "locked padlock with a key",
    "locked with pen": "locked padlock with a pen",
    "mate": "cup of mate tea",
    "minus": "minus sign",
    "mobile phone off": "mobile phone that is off",
    "multiply": "multiplication sign",
    "no bicycles": "no bicycles sign",
    "no entry": "no entry sign",
    "no littering": "no littering sign",
    "no mobile phones": "no mobile phones sign",
    "no one under eighteen": "sign for no one under eighteen",
    "no pedestrians": "no pedestrians sign",
    "no smoking": "no smoking sign",
    "palms up together": "pair of palms turned up",
    "passport control": "passport control sign",
    "person beard": "person with a beard",
    "person blond hair": "person with blond hair",
    "ping pong": "ping pong paddle and ball",
    "plus": "plus sign",
    "pouring liquid": "cup pouring liquid",
    "prohibited": "prohibition sign",
    "radioactive": "radioactive sign",
    "registered": "registered trade mark sign",
    "rolling on the floor laughing": "face rolling on the floor laughing",
    "sad but relieved face": "face that is sad but relieved",
    "selfie": "hand taking a selfie",
    "star-struck": "star-struck face",
    "tennis": "tennis racket and ball",
    "unlocked": "open padlock",
    "vibration mode": "mobile phone in vibration mode",
    "warning": "warning sign",
    "wireless": "wireless signal",
}

_UNSUITABLE = frozenset({"harambe", "hankey", "shit"})

_THE = frozenset({"milky way", "statue of liberty", "tokyo tower", "kaaba"})
# fmt: off
_BARE = frozenset({
    "bacon", "baggage claim", "baguette bread", "balance", "bread", "broccoli", "butter",
    "canned food", "cooked rice", "coral", "currency exchange", "curry rice", "dna", "falafel",
    "fire", "fog", "garlic", "ginger root", "ice", "ice cream", "left luggage", "light rail",
    "luggage", "meat on bone", "men", "money", "money with wings", "mount fuji", "mrs. claus",
    "nail polish", "non-potable water", "oden", "om", "popcorn", "potable water", "sake", "salt",
    "santa claus", "shaved ice", "skis", "soap", "soft ice cream", "spaghetti", "sushi", "thread",
    "wood", "yarn", "yin yang", "zzz",
})
# fmt: on
_SINGULAR = frozenset({"face", "person", "man", "woman", "hand", "index", "cat", "rhinoceros"})
_PLURAL = frozenset({"people", "men", "women"})
_AFTER_HEAD = re.compile(r" (?:and|at|in|of|on|over|with|without|for|from|behind|showing|that)\b")
_A = re.compile(r"(?:uni(?!n)|uti|eu|ewe|one\b)", re.IGNORECASE)
_AN = re.compile(r"(?:[aeiou]|hour|x-ray|8|NG\b|SOS\b)", re.IGNORECASE)


def drawable(emoji_data: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, list[str]]]:
    """Name and aliases of each emoji of one code point, in code point order.

    Args:
        emoji_data: `emoji.EMOJI_DATA`, which lists emoji with and without their variation selector.

    Returns:
        By character, the name in words ("red heart") and the aliases in words.
    """
    found: dict[str, tuple[str, list[str]]] = {}
    for text, entry in sorted(emoji_data.items()):
        character = text.removesuffix("\ufe0f")
        if len(character) == 1 and entry["status"] != _COMPONENT and character not in found:
            found[character] = (_words(entry["en"]), [_words(a) for a in entry.get("alias", ())])
    return found


def caption_all(names: Mapping[str, tuple[str, list[str]]]) -> dict[str, list[str]]:
    """Two to five captions of each emoji: its name, "a drawing of ..." and its aliases.

    An alias is used where it says something that the name does not, and is neither the name nor
    an alias of another emoji (":mouse:" is an alias of the mouse's face).

    Args:
        names: what `drawable` returns.
    """
    uses = Counter(
        key
        for name, aliases in names.values()
        for key in {_key(text) for text in (name, _rename(name), *aliases)}
    )
    captions: dict[str, list[str]] = {}
    for character, (name, aliases) in names.items():
        phrase = _rename(name)
        written = [phrase, f"a drawing of {with_article(phrase)}"]
        known = {_key(name), _key(phrase)}
        for alias in aliases:
            key = _key(alias)
            if key not in known and uses[key] == 1 and _is_telling(alias, name):
                known.add(key)
                written.append(alias)
        captions[character] = written[:MOST]
    return captions


def with_article(phrase: str) -> str:
    """The phrase with "a", "an", "the" or, for plurals and materials, nothing before it."""
    lower = phrase.lower()
    first = lower.split()[0]
    if lower in _THE or lower.startswith("zodiac sign"):
        return f"the {phrase}"
    head = _AFTER_HEAD.split(lower)[0].split()[-1]
    plural = head.endswith("s") and not head.endswith(("ss", "us", "is")) and head not in _SINGULAR
    if lower in _BARE or first in _PLURAL or (plural and first not in _SINGULAR):
        return phrase
    vowel = _AN.match(phrase) and not _A.match(phrase)
    return f"an {phrase}" if vowel else f"a {phrase}"


def _words(name: str) -> str:
    words = name.strip(":").replace("_", " ").replace("’", "'")
    return re.sub(r"\s+", " ", re.sub(r"[()]", "", words))


def _rename(name: str) -> str:
    if name in _ZODIAC:
        return f"zodiac sign {name}"
    if name.endswith(("o'clock", "-thirty")):
        return f"clock showing {name}"
    return _RENAMED.get(name, name)


def _key(phrase: str) -> str:
    return re.sub(r"[\W_]", "", phrase.lower())


def _is_telling(alias: str, name: str) -> bool:
    digits = set(re.findall(r"\d+", alias)) - set(re.findall(r"\d+", name))
    return len(_key(alias)) >= 3 and not digits and alias not in _UNSUITABLE
