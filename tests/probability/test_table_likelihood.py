"""The likelihood of a table."""

import pytest

from lowerbound.foundation.schema import Support
from lowerbound.probability.likelihoods import LIKELIHOODS
from table_columns import COLUMNS

pytestmark = pytest.mark.usefixtures("float64")


def test_a_table_of_categories_and_counts_is_discrete_and_one_with_a_number_is_not():
    discrete = [column for column in COLUMNS if column.kind != "numeric"]
    for columns, convention in ((discrete, "discrete table"), (COLUMNS, "table")):
        likelihood = LIKELIHOODS["table"]((len(columns),), columns=tuple(columns))
        assert likelihood.convention(Support(0.0, 3.0)) == convention
