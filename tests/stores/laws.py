"""The laws, from `pulsebase.testing`, and what other tests of stores share with them."""

from pulsebase.testing import StoreLaws
from pulsebase.testing.laws.words import ALWAYS, TEN, THAT_DAY, assert_in_order_of_export, exported, scattered

__all__ = ["ALWAYS", "TEN", "THAT_DAY", "StoreLaws", "assert_in_order_of_export", "exported", "scattered"]
