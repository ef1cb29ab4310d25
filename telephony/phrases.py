"""The sentences that callers hear, in the languages that we have words in."""

from enum import StrEnum


class Phrase(StrEnum):
    """What there is to say to somebody before the call ends."""

    #: The agent is busy or has refused: Twilio calls both busy.
    BUSY = "busy"
    #: The agent did not answer in time.
    NO_ANSWER = "no-answer"
    #: The agent could not be reached.
    UNREACHABLE = "unreachable"
    #: Nobody is named whom the call could be connected to.
    NOBODY_HERE = "nobody-here"


_WORDS = {
    "en": {
        Phrase.BUSY: "The person you are calling is busy. Please try again later. Goodbye.",
        Phrase.NO_ANSWER: "The person you are calling is not answering. Please try again later. Goodbye.",
        Phrase.UNREACHABLE: "The person you are calling can not be reached. Please try again later. Goodbye.",
        Phrase.NOBODY_HERE: "Nobody can take your call at the moment. Please try again later. Goodbye.",
    },
    "de": {
        Phrase.BUSY: "Ihr Gesprächspartner ist gerade im Gespräch. Bitte rufen Sie später wieder an. Auf Wiederhören.",
        Phrase.NO_ANSWER: "Ihr Gesprächspartner meldet sich nicht. Bitte rufen Sie später wieder an. Auf Wiederhören.",
        Phrase.UNREACHABLE: "Ihr Gesprächspartner ist zurzeit nicht erreichbar. Bitte rufen Sie später wieder an. "
        "Auf Wiederhören.",
        Phrase.NOBODY_HERE: "Ihr Anruf kann gerade nicht angenommen werden. Bitte rufen Sie später wieder an. "
        "Auf Wiederhören.",
    },
    "es": {
        Phrase.BUSY: "La persona a la que llama está ocupada. Por favor, inténtelo más tarde. Adiós.",
        Phrase.NO_ANSWER: "La persona a la que llama no contesta. Por favor, inténtelo más tarde. Adiós.",
        Phrase.UNREACHABLE: "La persona a la que llama no está disponible. Por favor, inténtelo más tarde. Adiós.",
        Phrase.NOBODY_HERE: "En este momento nadie puede atender su llamada. Por favor, inténtelo más tarde. Adiós.",
    },
    "fr": {
        Phrase.BUSY: "Votre correspondant est occupé. Veuillez rappeler plus tard. Au revoir.",
        Phrase.NO_ANSWER: "Votre correspondant ne répond pas. Veuillez rappeler plus tard. Au revoir.",
        Phrase.UNREACHABLE: "Votre correspondant n'est pas joignable. Veuillez rappeler plus tard. Au revoir.",
        Phrase.NOBODY_HERE: "Personne ne peut prendre votre appel. Veuillez rappeler plus tard. Au revoir.",
    },
}  # fmt: skip


def words(phrase: Phrase, language: str) -> str:
    """A sentence in a language, in English where we have no words in it.

    Args:
        phrase: What to say.
        language: As `CONFERRAL_LANGUAGE` names it, such as `en-US`; the part before the hyphen decides.
    """
    return _WORDS.get(language.partition("-")[0].lower(), _WORDS["en"])[phrase]
