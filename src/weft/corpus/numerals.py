"""Whole numbers from 2 to 99 written out, and English ordinals in figures."""

__all__ = ["english", "english_ordinal", "french", "german"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ENGLISH = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_ENGLISH_TENS = _words("- - twenty thirty forty fifty sixty seventy eighty ninety")

_GERMAN = _words(
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn "
    "siebzehn achtzehn neunzehn"
)
_GERMAN_TENS = _words("- - zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")

_FRENCH = _words(
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept "
    "dix-huit dix-neuf"
)
_FRENCH_TENS = _words("- - vingt trente quarante cinquante soixante soixante quatre-vingt quatre-vingt")


def english(number: int) -> str:
    """A number in English.

    >>> english(12), english(40), english(21)
    ('twelve', 'forty', 'twenty-one')
    """
    if number < 20:
        return _ENGLISH[number]
    tens, units = divmod(number, 10)
    return f"{_ENGLISH_TENS[tens]}-{_ENGLISH[units]}" if units else _ENGLISH_TENS[tens]


def english_ordinal(number: int) -> str:
    """An ordinal in figures.

    >>> [english_ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '22nd', '23rd', '30th']
    """
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def german(number: int) -> str:
    """A number in German, from 2 up, before any noun.

    >>> german(12), german(40), german(21), german(76)
    ('zwölf', 'vierzig', 'einundzwanzig', 'sechsundsiebzig')
    """
    if number < 20:
        return _GERMAN[number]
    tens, units = divmod(number, 10)
    if not units:
        return _GERMAN_TENS[tens]
    return f"{'ein' if units == 1 else _GERMAN[units]}und{_GERMAN_TENS[tens]}"


def french(number: int, *, feminine: bool = False) -> str:
    """A number in French, in the spelling before 1990, before a noun of either gender.

    >>> french(21), french(21, feminine=True), french(71), french(80), french(81)
    ('vingt et un', 'vingt et une', 'soixante et onze', 'quatre-vingts', 'quatre-vingt-un')
    >>> french(91), french(99)
    ('quatre-vingt-onze', 'quatre-vingt-dix-neuf')
    """
    if number < 20:
        return _FRENCH[number]
    tens, units = divmod(number, 10)
    if tens in (7, 9):
        units += 10
    one = "une" if feminine and units == 1 else _FRENCH[units]
    if tens >= 8:
        return f"quatre-vingt-{one}" if units else "quatre-vingts"
    if units in (1, 11):
        return f"{_FRENCH_TENS[tens]} et {one}"
    return f"{_FRENCH_TENS[tens]}-{one}" if units else _FRENCH_TENS[tens]
