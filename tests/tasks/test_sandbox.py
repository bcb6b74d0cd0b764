"""A template of a stranger ends, and fills neither memory nor a screen; one of a real model is rendered as Jinja renders it."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from noria.core.errors import InputError
from noria.tasks.template import Template

TALK = [{"role": role, "content": f"text {number} 你好"} for number in range(20) for role in ("user", "assistant")]
HONEST = [
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>' }}{% endfor %}",
    "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m['content'] + '!' }}{% else %}none{% endfor %}",
    "{%- set ns = namespace(n=0) -%}{% for m in messages %}{% set ns.n = ns.n + m.content|length %}{% endfor %}{{ ns.n * 1000000 }}",
    "{% macro turn(m) %}[{{ m.role.upper() | trim }}]{{ '%s' % m.content }}{% endmacro %}{% for m in messages[::-1] %}{{ turn(m) }}{% endfor %}",
    "{{ messages | map(attribute='content') | join(', ') }}{{ 12345678 | tojson }}{{ {'a': 1} | tojson(indent=2) }}",
    "{{ messages[0].content.replace('text', 'word').split(' ') }}{{ '-' * 20 }}{{ 2 ** 10 }}{{ [1] * 3 }}",
]


@pytest.mark.parametrize("text", HONEST)
def test_what_is_honest_is_rendered_as_jinja_does(text: str):
    plain = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    plain.policies["json.dumps_kwargs"] = {"sort_keys": False}
    assert Template(text, "<s>", "</s>").write(TALK, begins=False) == plain.from_string(text).render(messages=TALK)


HOSTILE = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{% set x = range(99999) | list %}{% endfor %}",
    "{% set ns = namespace(x='ab') %}{% for a in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x='ab') %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x=[1]) %}{% for a in range(99) %}{% set ns.x = ns.x * 9 %}{% endfor %}",
    "{{ 'a' * 999999999999 }}",
    "{{ 'a'.ljust(999999999999) }}",
    "{{ 'a' | center(999999999999) }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '{:>999999999}'.format('a') }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ ('a' * 9999999).replace('a', 'b' * 9999) }}",
    "{{ (['a' * 999999] * 9999) | join }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ {'a': 1} | tojson(indent=999999999) }}",
    "{{ lipsum(n=99999) }}",
    "{% include '/etc/passwd' %}",
    "{% import '/etc/passwd' as x %}",
    "{{ messages.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{% for m in messages %}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_hostile_is_refused_in_one_line_and_little_memory(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("noria.tasks.sandbox.SECONDS", 0.5)
    tracemalloc.start()
    start = time.thread_time()  # what other processes do is not counted
    with pytest.raises(InputError) as caught:
        Template(text, "", "").write(TALK, begins=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert time.thread_time() - start < 5
    assert peak < 400_000_000
