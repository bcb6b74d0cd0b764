"""What a team knows, as one base: documents in passages, questions and answers, past dialogues, rules; found, quoted, or not known"""

LEAST = 0.4
"""Probability from which a document is quoted, where nothing is told of what a wrong answer costs: below it fall a tenth of the trial
questions whose passage is there (`benchmarks/support_knowledge_fit.py`)."""
