"""Phrases that callers and agents hear, in all supported languages."""

from collections.abc import Mapping
from enum import StrEnum

from conferral.statemachine.events import GateDecision


class Phrase(StrEnum):
    """Phrases for callers, and for parties dialed by REST."""

    #: To the party whose `<Dial>` rang the other one of a bridge, if nothing follows: that one is busy or has declined,
    #: which Twilio both reports as busy. Of several agents, only the last one rung counts, even if another was busy.
    BUSY = "busy"
    #: As `BUSY`: that one did not answer.
    NO_ANSWER = "no-answer"
    #: As `BUSY`: the dial failed. And to any caller whose request could not be answered, such as without Redis.
    UNREACHABLE = "unreachable"
    #: To a caller without a fallback for whom no one is rung: no agent is configured, all are away, or it is closed.
    NO_ONE_AVAILABLE = "no-one-available"
    #: To someone who waits in a conference: no one took the call.
    NOT_CONNECTED = "not-connected"
    #: To a party that wants to call: this call is not placed.
    NOT_PLACED = "not-placed"
    TOO_MANY_CALLS = "too-many-calls"
    PRESS_ONE = "press-one"
    #: The party pressed `REJECT_DIGIT`.
    REJECTED = "rejected"
    #: The party pressed no key, even after the last question.
    NO_KEY = "no-key"
    #: Another party of the ring group has taken the call.
    TAKEN = "taken"
    CALLER_HUNG_UP = "caller-hung-up"
    #: No one is waiting for this call anymore, for any other reason.
    TOO_LATE = "too-late"
    #: To a recalled agent, by the result of the failed dial.
    RECALL_BUSY = "recall-busy"
    RECALL_NO_ANSWER = "recall-no-answer"
    RECALL_REJECTED = "recall-rejected"
    RECALL_NO_CONFIRMATION = "recall-no-confirmation"
    RECALL_FAILED = "recall-failed"
    RECALL_PARKED = "recall-park-timeout"
    RECALL_LOST = "recall-lost"
    #: To a caller whose last session is still live, or who waits in a queue.
    PLEASE_WAIT = "please-wait"
    #: To a customer in the voicemail, before the tone.
    LEAVE_MESSAGE = "leave-message"


_SENTENCES = {
    "en": {
        Phrase.BUSY: "The person you are calling is busy. Please try again later. Goodbye.",
        Phrase.NO_ANSWER: "The person you are calling is not answering. Please try again later. Goodbye.",
        Phrase.UNREACHABLE: "The person you are calling can not be reached. Please try again later. Goodbye.",
        Phrase.NO_ONE_AVAILABLE: "Nobody can take your call at the moment. Please try again later. Goodbye.",
        Phrase.NOT_CONNECTED: "We are sorry, but we could not connect you. Please try again later. Goodbye.",
        Phrase.NOT_PLACED: "This call can not be placed. Goodbye.",
        Phrase.TOO_MANY_CALLS: "You have placed too many calls. Please try again in a minute. Goodbye.",
        Phrase.PRESS_ONE: "1 to accept, 2 to decline.",
        Phrase.REJECTED: "You have declined the call. Goodbye.",
        Phrase.NO_KEY: "You have not pressed 1. Goodbye.",
        Phrase.TAKEN: "Somebody else has already taken the call. Goodbye.",
        Phrase.CALLER_HUNG_UP: "The caller has hung up. Goodbye.",
        Phrase.TOO_LATE: "This call is no longer waiting for you. Goodbye.",
        Phrase.RECALL_BUSY: "Your call is coming back to you. The other line is busy.",
        Phrase.RECALL_NO_ANSWER: "Your call is coming back to you. Nobody has answered.",
        Phrase.RECALL_REJECTED: "Your call is coming back to you. It was declined.",
        Phrase.RECALL_NO_CONFIRMATION: "Your call is coming back to you. Nobody has taken it.",
        Phrase.RECALL_FAILED: "Your call is coming back to you. The transfer has failed.",
        Phrase.RECALL_PARKED: "The call you parked is coming back to you. No one picked it up.",
        Phrase.RECALL_LOST: "You were disconnected. Your call is coming back to you.",
        Phrase.PLEASE_WAIT: "Please hold the line.",
        Phrase.LEAVE_MESSAGE: "Nobody can take your call at the moment. Please leave a message after the tone.",
    },
    "de": {
        Phrase.BUSY: "Ihr Gesprächspartner ist gerade im Gespräch. Bitte rufen Sie später wieder an. Auf Wiederhören.",
        Phrase.NO_ANSWER: "Ihr Gesprächspartner meldet sich nicht. Bitte rufen Sie später wieder an. Auf Wiederhören.",
        Phrase.UNREACHABLE: "Ihr Gesprächspartner ist zurzeit nicht erreichbar. Bitte rufen Sie später wieder an. "
        "Auf Wiederhören.",
        Phrase.NO_ONE_AVAILABLE: "Ihr Anruf kann gerade nicht angenommen werden. Bitte rufen Sie später wieder an. "
        "Auf Wiederhören.",
        Phrase.NOT_CONNECTED: "Leider konnten wir Sie nicht verbinden. Bitte rufen Sie später wieder an. "
        "Auf Wiederhören.",
        Phrase.NOT_PLACED: "Dieser Anruf ist nicht möglich. Auf Wiederhören.",
        Phrase.TOO_MANY_CALLS: "Sie haben zu viele Anrufe getätigt. Bitte versuchen Sie es in einer Minute erneut. "
        "Auf Wiederhören.",
        Phrase.PRESS_ONE: "Annehmen: 1, ablehnen: 2.",
        Phrase.REJECTED: "Sie haben den Anruf abgelehnt. Auf Wiederhören.",
        Phrase.NO_KEY: "Sie haben die 1 nicht gedrückt. Auf Wiederhören.",
        Phrase.TAKEN: "Jemand anderes hat den Anruf schon angenommen. Auf Wiederhören.",
        Phrase.CALLER_HUNG_UP: "Der Anrufer hat aufgelegt. Auf Wiederhören.",
        Phrase.TOO_LATE: "Dieser Anruf wartet nicht mehr auf Sie. Auf Wiederhören.",
        Phrase.RECALL_BUSY: "Ihr Anruf kommt zu Ihnen zurück. Dort ist besetzt.",
        Phrase.RECALL_NO_ANSWER: "Ihr Anruf kommt zu Ihnen zurück. Dort hat sich niemand gemeldet.",
        Phrase.RECALL_REJECTED: "Ihr Anruf kommt zu Ihnen zurück. Er wurde abgelehnt.",
        Phrase.RECALL_NO_CONFIRMATION: "Ihr Anruf kommt zu Ihnen zurück. Niemand hat ihn angenommen.",
        Phrase.RECALL_FAILED: "Ihr Anruf kommt zu Ihnen zurück. Die Weiterleitung ist fehlgeschlagen.",
        Phrase.RECALL_PARKED: "Der Anruf, den Sie geparkt haben, kommt zu Ihnen zurück. Niemand hat ihn übernommen.",
        Phrase.RECALL_LOST: "Ihre Verbindung war unterbrochen. Ihr Anruf kommt zu Ihnen zurück.",
        Phrase.PLEASE_WAIT: "Bitte bleiben Sie am Apparat.",
        Phrase.LEAVE_MESSAGE: "Ihr Anruf kann gerade nicht angenommen werden. Bitte sprechen Sie nach dem Ton.",
    },
    "es": {
        Phrase.BUSY: "La persona a la que llama está ocupada. Por favor, inténtelo más tarde. Adiós.",
        Phrase.NO_ANSWER: "La persona a la que llama no contesta. Por favor, inténtelo más tarde. Adiós.",
        Phrase.UNREACHABLE: "La persona a la que llama no está disponible. Por favor, inténtelo más tarde. Adiós.",
        Phrase.NO_ONE_AVAILABLE: "En este momento nadie puede atender su llamada. Por favor, inténtelo más tarde. Adiós.",  # noqa: E501
        Phrase.NOT_CONNECTED: "Lo sentimos, no hemos podido comunicarle. Por favor, inténtelo más tarde. Adiós.",
        Phrase.NOT_PLACED: "Esta llamada no es posible. Adiós.",
        Phrase.TOO_MANY_CALLS: "Ha realizado demasiadas llamadas. Por favor, inténtelo de nuevo en un minuto. Adiós.",
        Phrase.PRESS_ONE: "1 acepta, 2 rechaza.",
        Phrase.REJECTED: "Ha rechazado la llamada. Adiós.",
        Phrase.NO_KEY: "No ha pulsado el 1. Adiós.",
        Phrase.TAKEN: "Otra persona ya ha atendido la llamada. Adiós.",
        Phrase.CALLER_HUNG_UP: "La persona que llamaba ha colgado. Adiós.",
        Phrase.TOO_LATE: "Esta llamada ya no le espera. Adiós.",
        Phrase.RECALL_BUSY: "Su llamada vuelve a usted. La otra línea está ocupada.",
        Phrase.RECALL_NO_ANSWER: "Su llamada vuelve a usted. Nadie ha contestado.",
        Phrase.RECALL_REJECTED: "Su llamada vuelve a usted. Ha sido rechazada.",
        Phrase.RECALL_NO_CONFIRMATION: "Su llamada vuelve a usted. Nadie la ha atendido.",
        Phrase.RECALL_FAILED: "Su llamada vuelve a usted. La transferencia ha fallado.",
        Phrase.RECALL_PARKED: "La llamada que ha aparcado vuelve a usted. Nadie la ha atendido.",
        Phrase.RECALL_LOST: "Se ha cortado su conexión. Su llamada vuelve a usted.",
        Phrase.PLEASE_WAIT: "Manténgase a la espera, por favor.",
        Phrase.LEAVE_MESSAGE: "Nadie puede atender su llamada en este momento. Deje un mensaje después de la señal.",
    },
    "fr": {
        Phrase.BUSY: "Votre correspondant est occupé. Veuillez rappeler plus tard. Au revoir.",
        Phrase.NO_ANSWER: "Votre correspondant ne répond pas. Veuillez rappeler plus tard. Au revoir.",
        Phrase.UNREACHABLE: "Votre correspondant n'est pas joignable. Veuillez rappeler plus tard. Au revoir.",
        Phrase.NO_ONE_AVAILABLE: "Personne ne peut prendre votre appel. Veuillez rappeler plus tard. Au revoir.",
        Phrase.NOT_CONNECTED: "Nous n'avons malheureusement pas pu vous mettre en relation. "
        "Veuillez rappeler plus tard. Au revoir.",
        Phrase.NOT_PLACED: "Cet appel n'est pas possible. Au revoir.",
        Phrase.TOO_MANY_CALLS: "Vous avez passé trop d'appels. Veuillez réessayer dans une minute. Au revoir.",
        Phrase.PRESS_ONE: "1 accepte, 2 refuse.",
        Phrase.REJECTED: "Vous avez refusé l'appel. Au revoir.",
        Phrase.NO_KEY: "Vous n'avez pas appuyé sur 1. Au revoir.",
        Phrase.TAKEN: "Quelqu'un d'autre a déjà pris l'appel. Au revoir.",
        Phrase.CALLER_HUNG_UP: "Votre correspondant a raccroché. Au revoir.",
        Phrase.TOO_LATE: "Cet appel ne vous attend plus. Au revoir.",
        Phrase.RECALL_BUSY: "Votre appel vous revient. L'autre ligne est occupée.",
        Phrase.RECALL_NO_ANSWER: "Votre appel vous revient. Personne n'a répondu.",
        Phrase.RECALL_REJECTED: "Votre appel vous revient. Il a été refusé.",
        Phrase.RECALL_NO_CONFIRMATION: "Votre appel vous revient. Personne ne l'a pris.",
        Phrase.RECALL_FAILED: "Votre appel vous revient. Le transfert a échoué.",
        Phrase.RECALL_PARKED: "L'appel que vous avez mis en attente vous revient. Personne ne l'a pris.",
        Phrase.RECALL_LOST: "Votre connexion a été coupée. Votre appel vous revient.",
        Phrase.PLEASE_WAIT: "Veuillez patienter.",
        Phrase.LEAVE_MESSAGE: "Personne ne peut répondre pour le moment. Laissez un message après le signal sonore.",
    },
}  # fmt: skip

#: Phrases for parties that the gate turns away.
GATE_REJECTIONS: Mapping[GateDecision, Phrase] = {
    GateDecision.REJECTED: Phrase.REJECTED,
    GateDecision.NO_CONFIRMATION: Phrase.NO_KEY,
    GateDecision.TAKEN: Phrase.TAKEN,
    GateDecision.TOO_LATE: Phrase.TOO_LATE,
}


def recall_phrase(reason: str) -> Phrase:
    """Return the phrase for a recalled agent, by the failed dial's result."""
    name = f"recall-{reason}"
    return Phrase(name) if name in tuple(Phrase) else Phrase.RECALL_FAILED


def sentence_in(phrase: Phrase, language: str) -> str:
    """Return a phrase in a language such as `en-US`, one of `LANGUAGES`."""
    return _SENTENCES[language.partition("-")[0]][phrase]
