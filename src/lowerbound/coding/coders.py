"""CODERS and element_coder: the coder of examples that each likelihood has, or why it has none."""

from lowerbound.coding.element_coding import (
    MOST_COUNTS,
    BernoulliCoder,
    CategoricalCoder,
    CountCoder,
    ElementCoder,
    LevelCoder,
    LogisticCoder,
    NegativeBinomialCoder,
    PoissonCoder,
)
from lowerbound.coding.table_coding import CodedColumn, TableCoder
from lowerbound.foundation.errors import UsageError
from lowerbound.probability.likelihood import Likelihood
from lowerbound.probability.likelihoods import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    NegativeBinomialLikelihood,
    PoissonLikelihood,
)
from lowerbound.probability.table_likelihood import TableLikelihood

CODERS: dict[type[Likelihood], type[LevelCoder]] = {
    BernoulliLikelihood: BernoulliCoder,
    DiscretizedLogisticLikelihood: LogisticCoder,
    CategoricalLikelihood: CategoricalCoder,
    PoissonLikelihood: PoissonCoder,
    NegativeBinomialLikelihood: NegativeBinomialCoder,
}
"""The likelihoods of whole numbers that can be coded."""


def element_coder(likelihood: Likelihood, num_levels: int = 0, columns: tuple[CodedColumn, ...] = ()) -> ElementCoder:
    """The coder of a likelihood; UsageError for a density, or others.

    Counts need `num_levels`, the largest plus 1, and tables the `columns` of the rows to code.
    """
    if isinstance(likelihood, TableLikelihood):
        return TableCoder(likelihood, columns or tuple(CodedColumn(num_levels=1) for _ in likelihood.columns))
    coder = CODERS.get(type(likelihood))
    if coder is None:
        accepted = "Bernoulli on binary data, discretised logistics, categorical values, counts and tables"
        raise UsageError(
            f"the model has the likelihood {type(likelihood).__name__.removesuffix('Likelihood')}, which gives no "
            f"probabilities of whole numbers; lossless compression needs one that does: {accepted}."
        )
    if issubclass(coder, CountCoder):
        if num_levels > MOST_COUNTS:
            raise UsageError(f"the largest count is {num_levels - 1:,}; at most {MOST_COUNTS - 1:,} can be coded.")
        return coder(likelihood, max(2, num_levels))
    return coder(likelihood, getattr(likelihood, "num_levels", 2))
