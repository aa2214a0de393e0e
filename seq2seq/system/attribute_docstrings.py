"""The text below each field of a class, read from its source when it is needed.

Pydantic can read it when the class is made, but parsing the sources of all settings then takes
longer than translating a sentence.
"""

import ast
import inspect
from functools import cache
from itertools import pairwise


@cache
def attribute_docstrings(cls: type) -> dict[str, str]:
    """The docstring of each annotated attribute that has one, by its name; none of base classes."""
    (definition,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for attribute, below in pairwise(definition.body):
        match attribute, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = inspect.cleandoc(text)
    return found
