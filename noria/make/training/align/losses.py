"""The losses of alignment, of log probabilities alone: DPO, KTO, GRPO. They know nothing of models.

    dpo(policy, reference, beta=0.1)            # (P,) from (2 P,): the chosen answers, then the rejected ones
    kto(policy, reference, liked, drift)        # (B,)
    grpo(costs, costs.detach(), None, ...)      # (N,) tokens

Every loss is one a pair, an answer or a token; who calls sums and divides. A test holds them beside those of TRL.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


def dpo(policy: torch.Tensor, reference: torch.Tensor, *, beta: float) -> torch.Tensor:
    """Return the loss of every pair (P,) (Rafailov et al. 2023, equation 7).

    Args:
        policy: log probabilities of answers under the model that learns, chosen then rejected (2 P,).
        reference: the same under the model that it began as.
        beta: how much the model is held to where it began.
    """
    chosen, rejected = (policy - reference).chunk(2)
    return -F.logsigmoid(beta * (chosen - rejected))


def kto(
    policy: torch.Tensor,
    reference: torch.Tensor,
    liked: torch.Tensor,
    drift: torch.Tensor,
    *,
    beta: float,
    liked_weight: float = 1.0,
    disliked_weight: float = 1.0,
) -> torch.Tensor:
    """Return the loss of every answer (B,) (Ethayarajh et al. 2024, equation 8).

    Args:
        policy, reference: log probabilities of the answers under the model that learns and under the one that it began as (B,).
        liked: whether each was liked (B,), bool.
        drift: how far the model is from where it began, as `drift_of` says.
        beta: how much the model is held to where it began.
        liked_weight, disliked_weight: what the two kinds count.
    """
    ratio = policy - reference
    above = torch.where(liked, ratio - drift, drift - ratio)
    return torch.where(liked, liked_weight, disliked_weight) * (1 - torch.sigmoid(beta * above))


def drift_of(policy: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return the mean log ratio of answers to other questions, at least 0, without a slope: KTO's estimate of the divergence."""
    return (policy - reference).mean().detach().clamp(min=0)


def advantages_of(rewards: torch.Tensor, group: int) -> torch.Tensor:
    """Return by how many standard deviations each answer's reward lies above its group's mean (Shao et al. 2024, section 4.1.2).

    Args:
        rewards: (P x group,), the answers to one question one after another.
        group: answers to a question.
    """
    groups = rewards.view(-1, group)
    spread = groups.std(1, keepdim=True) if group > 1 else torch.ones_like(groups)
    return ((groups - groups.mean(1, keepdim=True)) / (spread + 1e-4)).flatten()


def grpo(
    policy: torch.Tensor,
    before: torch.Tensor,
    advantages: torch.Tensor,
    reference: torch.Tensor | None = None,
    *,
    clip: float = 0.2,
    beta: float = 0.0,
) -> torch.Tensor:
    """Return the loss of every token (N,) (Shao et al. 2024, equation 3).

    Args:
        policy: log probabilities of the tokens under the model that learns (N,).
        before: the same when the answers were drawn, without a slope.
        advantages: of each token's answer (N,).
        reference: log probabilities under the model that it began as; None where `beta` is 0.
        clip: largest change of a probability that is rewarded, as a share.
        beta: weight of the divergence from the reference (equation 4).
    """
    ratio = torch.exp(policy - before)
    loss = -torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    if beta and reference is not None:
        apart = reference - policy
        loss = loss + beta * (torch.exp(apart) - apart - 1)
    return loss
