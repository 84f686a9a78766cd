"""Pages of one family: report, review and evaluation have one frame and one style sheet.

Both lie in ``model/templates/``. The pages themselves lie in ``templates/`` of the package that
makes them.
"""

from __future__ import annotations

from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


@cache
def page_environment(package: str, is_html: bool = True) -> Environment:
    """Where templates of a package are filled in; in HTML all text is escaped."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("model")]),
        autoescape=is_html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
