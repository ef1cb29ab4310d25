"""How long a recalled agent listens before they join: by the longest sentence."""

from conferral.runtime.limits import LANGUAGES
from conferral.statemachine.actions.dials import RECALL_SENTENCE_MAX
from conferral.telephony.phrases import Phrase, sentence_in


def test_longest_sentence_to_a_recalled_agent_is_waited_for():
    recalls = [phrase for phrase in Phrase if phrase.startswith("recall-")]
    assert max(len(sentence_in(one, language)) for one in recalls for language in LANGUAGES) == RECALL_SENTENCE_MAX
