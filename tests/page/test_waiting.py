"""Tests of the page wait for what they look at: it comes with an answer, a frame or the word of a worker."""

from __future__ import annotations

import ast
from pathlib import Path

#: Playwright's questions that are answered at once, whatever is still to come. `expect` waits, and so does a `Visit`.
AT_ONCE = {"is_visible", "is_hidden", "is_enabled", "is_disabled", "is_editable", "is_checked", "count", "all"} | {
    *("bounding_box", "get_attribute", "input_value", "text_content", "inner_text", "inner_html"),
    *("all_inner_texts", "all_text_contents"),
}
#: Where one is asked all the same, and why it has come to rest.
AT_REST = {
    "test_chart.py: spoken.inner_text": "what is spoken has just been waited for, and stays until the next key",
    "test_login.py: card.locator('code').filter(has_text=re.compile('^pulsebase_')).inner_text": "waits for the key",
    "test_pages.py: assert seen.page.evaluate": "what the test itself has left there",
}


def test_nothing_is_read_off_the_page_before_it_has_come_to_rest() -> None:
    found = set()
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in AT_ONCE:
                found.add(f"{path.name}: {ast.unparse(node.func)}")
            if isinstance(node, ast.Assert):
                asked = [each.func for each in ast.walk(node.test) if isinstance(each, ast.Call)]
                evaluated = [each for each in asked if isinstance(each, ast.Attribute) and each.attr == "evaluate"]
                found |= {f"{path.name}: assert {ast.unparse(each)}" for each in evaluated}
    assert found == set(AT_REST)
