"""What a team knows, as one base: documents in passages, questions and answers, past dialogues, rules; found, quoted, or not known"""

LEAST = 0.5
"""Probability from which a document is quoted, where nothing is told of what a wrong answer costs."""
