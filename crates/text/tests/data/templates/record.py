"""Writes recorded.json: what Python's Jinja makes of the templates beside it, set up as the transformers library does.

Usage: python record.py (needs jinja2)
"""

import json
import pathlib
from datetime import datetime, timezone

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = 1_720_000_000
HERE = pathlib.Path(__file__).parent


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("keep"), [], [], body).set_lineno(line)

    def keep(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def strftime_now(form):
    return datetime.fromtimestamp(NOW, timezone.utc).strftime(form)


environment = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
)
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = raise_exception
environment.globals["strftime_now"] = strftime_now

USER = {"role": "user", "content": "  What is 2 + 2?\n"}
SYSTEM = {"role": "system", "content": "Be brief. "}
ANSWER = {"role": "assistant", "content": "Four <3 & \"quotes\""}
THOUGHT = {"role": "assistant", "content": "<think>\nTwo and two.\n</think>\n\nFour"}
REASONED = {"role": "assistant", "content": "Four", "reasoning_content": "Two and two.\n"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "abcdefghi", "type": "function", "function": {"name": "weather", "arguments": {"city": "Köln", "days": 2, "f": 1.0, "ok": True, "n": None}}}
    ],
}
RESULT = {"role": "tool", "content": "{\"sun\": true}", "tool_call_id": "abcdefghi"}
PARTS = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What is this? "}]}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather's <state> & \"mood\"",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Stadt, 都市"}, "days": {"type": "integer", "default": 1}},
            "required": ["city"],
        },
    },
}
TALKS = {
    "one": [USER],
    "system": [SYSTEM, USER],
    "turns": [SYSTEM, USER, ANSWER, {"role": "user", "content": "And 日本?"}],
    "thought": [USER, THOUGHT, USER, THOUGHT],
    "reasoned": [USER, REASONED],
    "tools": [SYSTEM, USER, CALL, RESULT],
    "parts": [PARTS],
    "bad order": [USER, USER],
    "bad role": [{"role": "poet", "content": "Oh"}],
    "last word": [USER, ANSWER],
}
VALUE = {
    "text": "é \"q\" </x> \u2028 \x01 \x7f \t",
    "list": [1, 2.5, -3, 1e22, 1e-7, True, None, [], {}],
    "nested": {"b": [{"c": 1}], "a": ""},
    "empty": {},
}


def cases(name):
    for talk, messages in TALKS.items():
        for prompt in (True, False) if talk == "last word" else (True,):
            for tools in (None, [TOOL], [TOOL, TOOL]):
                if tools and talk != ("tools" if len(tools) == 1 else "one"):
                    continue
                for variables in ({}, {"enable_thinking": False}, {"enable_thinking": True}) if name == "qwen3" else ({},):
                    yield talk, {"messages": messages, "tools": tools, "add_generation_prompt": prompt, "variables": variables}
    if name == "python":
        yield "value", {"messages": TALKS["turns"], "tools": None, "add_generation_prompt": True, "variables": {"value": VALUE}}


def render(source, case):
    try:
        text = environment.from_string(source).render(
            messages=case["messages"],
            tools=case["tools"],
            documents=None,
            add_generation_prompt=case["add_generation_prompt"],
            bos_token="<bos>",
            eos_token="<eos>",
            **case["variables"],
        )
        return {"text": text}
    except jinja2.exceptions.UndefinedError:
        return {"fails": True}
    except jinja2.exceptions.TemplateError as error:
        return {"refused": str(error)}
    except TypeError:
        return {"fails": True}


recorded = []
for path in sorted(HERE.glob("*.jinja")):
    source = path.read_text()
    for talk, case in cases(path.stem):
        if path.stem == "python" and talk != "value":
            continue
        recorded.append({"template": path.stem, "talk": talk, **case, **render(source, case)})
(HERE / "recorded.json").write_text(
    "[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in recorded) + "\n]\n"
)
print(len(recorded), "cases")
