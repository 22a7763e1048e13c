"""Which row of a reading is its last one, and which brought it, by the rule of `contract.Writer.write`.

The rows of a reading in the order of their stamps form a chain: the merged one first, then staged ones that came after
it. Merges and questions decide by the expressions here, so answers do not depend on which merges ran in between.
"""

from __future__ import annotations

#: What identifies a reading.
KEY = "person, metric, time, device"
_ROW = "(stamp, value, confidence, origin, settles, gone)"
#: The columns of a query over rows like those of the view `rows`, grouped by reading: the last row as `last`, and the
#: one that brought the reading as `brought`, both as (stamp, value, confidence, origin, settles, gone). A row brings
#: the reading if it changes something or settles it.
LAST_AND_BROUGHT = f"""
    argMaxIf({_ROW}, stamp, merged) AS base,
    arrayFilter(r -> r.1 > base.1, arraySort(groupUniqArrayIf({_ROW}, NOT merged))) AS later,
    if(base.1 = 0, later, arrayPushFront(later, base)) AS chain,
    chain[-1] AS last,
    arrayMap(
        (r, before) -> r.5 = 1 OR before.6 = 1 OR r.2 != before.2 OR r.3 != before.3,
        arrayPopFront(chain), arrayPopBack(chain)
    ) AS changes,
    chain[1 + arrayLastIndex(changed -> changed, changes)] AS brought
"""
