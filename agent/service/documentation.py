"""The API as one plain page: every operation with what it takes, made from the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}: API</title>
<link rel="icon" href="/page/icon.svg">
<link rel="stylesheet" href="/page/docs.css">
</head>
<body>
<main>
<h1>{title} {version}</h1>
<p>{description} <a href="/openapi.json">OpenAPI document</a> · <a href="/">The page</a></p>
{operations}
</main>
</body>
</html>
"""


def documentation(document: Mapping[str, Any]) -> str:
    """HTML that loads nothing but our own style."""
    told = document["info"]
    operations = [
        _operation(document, method, path, one)
        for path, methods in document["paths"].items()
        for method, one in methods.items()
    ]
    return PAGE.format(
        title=escape(told["title"]),
        version=escape(told["version"]),
        description=escape(told.get("description", "")),
        operations="\n".join(operations),
    )


def _operation(document: Mapping[str, Any], method: str, path: str, one: Mapping[str, Any]) -> str:
    paragraphs = "".join(
        f"<p>{_text(part)}</p>" for part in str(one.get("description", "")).split("\n\n") if part.strip()
    )
    rows = [*_parameters(document, one), *_fields(document, _body(document, one))]
    table = (
        f"<table><tr><th>Field</th><th>Type</th><th>Default</th></tr>{''.join(rows)}</table>" if rows else ""
    )
    return (
        f"<section><h2><b>{escape(method.upper())}</b> <code>{escape(path)}</code></h2>"
        f"{paragraphs}{table}{_example(document, one)}</section>"
    )


def _text(part: str) -> str:
    """What stands between double backticks is code."""
    pieces = escape(" ".join(part.split())).split("``")
    return "".join(f"<code>{one}</code>" if at % 2 else one for at, one in enumerate(pieces))


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return found


def _body(document: Mapping[str, Any], one: Mapping[str, Any]) -> Mapping[str, Any]:
    content = one.get("requestBody", {}).get("content", {}).get("application/json", {})
    return _resolved(document, content.get("schema", {}))


def _parameters(document: Mapping[str, Any], one: Mapping[str, Any]) -> Iterator[str]:
    for parameter in one.get("parameters", ()):
        needed = bool(parameter.get("required"))
        yield _row(document, f"{parameter['name']} ({parameter['in']})", parameter["schema"], needed)


def _fields(document: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in body.get("properties", {}).items():
        yield _row(document, name, schema, name in body.get("required", ()))


def _row(document: Mapping[str, Any], name: str, schema: Mapping[str, Any], needed: bool) -> str:
    default = "required" if needed else json.dumps(schema.get("default"), ensure_ascii=False)
    kind = _kind(document, schema)
    return f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td><td>{escape(default)}</td></tr>"


def _kind(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """A type in a few words: "text of at most 200 characters", "list of object"."""
    if "anyOf" in schema:
        kinds = [_kind(document, one) for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "$ref" in schema:
        fields = _resolved(document, schema).get("properties", {})
        return f"{{{', '.join(fields)}}}" if fields else "object"
    for name in ("enum", "const"):
        if name in schema:
            values = schema[name] if isinstance(schema[name], list) else [schema[name]]
            return " or ".join(json.dumps(one) for one in values)
    if schema.get("type") == "array":
        return f"list of {_kind(document, schema.get('items', {}))}"
    return f"{schema.get('type', 'anything')}{_bounds(schema)}"


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low:g} to {high:g}"
    if "maxLength" in schema:
        return f", at most {schema['maxLength']:,} characters"
    return f", at least {low:g}" if low is not None else ""


def _example(document: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    examples = _body(document, one).get("examples", ())
    return "".join(
        f"<pre>{escape(json.dumps(example, ensure_ascii=False, indent=2))}</pre>" for example in examples
    )
