"""How long a recalled agent listens before they join: by the longest sentence."""

from conferral.statemachine.actions.dials import RECALL_SENTENCE_MAX
from conferral.telephony.phrases import _SENTENCES


def test_longest_sentence_to_a_recalled_agent_is_waited_for():
    told = [text for said in _SENTENCES.values() for phrase, text in said.items() if phrase.startswith("recall-")]
    assert max(map(len, told)) == RECALL_SENTENCE_MAX
