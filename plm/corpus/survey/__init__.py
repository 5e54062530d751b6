"""What is in a corpus, gathered while it is prepared: facts for its manifest, warnings, an account for people.

    survey = Survey(tokenizer)
    for facts in ...:                # BlockFacts.of(...), made where the block is tokenized
        survey.add(facts)
    survey.warnings()                # [] for a corpus without surprises
    write_text("report.md", survey.markdown("My corpus", {"lower_case": True}))

A survey takes a few MB however large the corpus, and says the same however the text was cut into blocks, as long as
they are added in their order.
"""

from __future__ import annotations

from plm.corpus.survey.block import BlockFacts
from plm.corpus.survey.facts import CorpusFacts
from plm.corpus.survey.survey import Survey

__all__ = ["BlockFacts", "CorpusFacts", "Survey"]
