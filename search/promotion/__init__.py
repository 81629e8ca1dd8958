"""Promotion: the best trial becomes a long training, a test result, a model."""

from search.promotion.choice import choose
from search.promotion.contenders import Choice
from search.promotion.promote import promote
from search.promotion.result import ModelResult, PromotionResult

__all__ = ["Choice", "ModelResult", "PromotionResult", "choose", "promote"]
