"""Share of answer: how often assistants name a brand when asked what customers ask, with intervals over questions."""
