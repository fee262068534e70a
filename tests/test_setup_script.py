"""The set-up script, as far as it goes without installing a stack."""

import subprocess
import sys

import pytest
from conftest import ROOT


def install(*args) -> subprocess.CompletedProcess:
    return subprocess.run(
        ['bash', ROOT / 'requirements/install.sh', *map(str, args)], capture_output=True, text=True
    )


def test_an_unknown_stack_is_one_line(tmp_path):
    done = install(tmp_path / 'env', 'newest')
    assert done.returncode == 1
    assert done.stderr == "error: STACK: expected onedl or upstream, found 'newest'\n"


def test_an_environment_of_the_other_stack_is_left_alone(tmp_path):
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'python').symlink_to(sys.executable)
    (tmp_path / '.stack').write_text('upstream\n')
    done = install(tmp_path, 'onedl')
    assert done.returncode == 1
    assert 'holds upstream stack, not onedl; remove it or say VENV=' in done.stderr


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    done = install(tmp_path, 'onedl')
    assert done.returncode == 1
    assert 'no environment of ours; say VENV=' in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ['thesis.tex']


def test_an_interpreter_that_does_not_fit_is_one_line(tmp_path):
    (tmp_path / 'python3').write_text('#!/bin/sh\necho 3.8\n')
    (tmp_path / 'python3').chmod(0o755)
    done = install(tmp_path / 'env', 'onedl', tmp_path / 'python3')
    assert done.returncode == 1
    assert 'needs Python 3.10, 3.11, 3.12; found' in done.stderr and '3.8' in done.stderr
    assert not (tmp_path / 'env').exists()


@pytest.mark.parametrize('stack', ['onedl', 'upstream'])
def test_every_requirement_is_pinned(stack):
    files = [*(ROOT / 'requirements' / stack).glob('*.txt')]
    files += [ROOT / f'requirements/{name}.txt' for name in ('runtime', 'extras', 'export', 'dev')]
    constraints = (ROOT / 'requirements' / stack / 'constraints.txt').read_text().splitlines()
    pinned = {line.split('==')[0] for line in constraints if '==' in line}
    for file in files:
        for line in file.read_text().splitlines():
            if not line or line.startswith(('#', '--')):
                continue
            name = line.split('=')[0].split('<')[0].split('>')[0].lower()
            assert '==' in line or name in pinned, f'{file.name}: {line}'


def test_the_two_lines_never_mix():
    onedl = (ROOT / 'requirements/onedl/openmmlab.txt').read_text().splitlines()
    assert all(line.startswith('onedl-') for line in onedl)
    upstream = (ROOT / 'requirements/upstream').glob('*.txt')
    assert not any('onedl' in file.read_text() for file in upstream)


@pytest.mark.parametrize('stack', ['onedl', 'upstream'])
def test_what_builds_the_documentation_is_pinned_and_contradicts_no_other_pin(stack):
    def pins(file: str) -> dict[str, str]:
        lines = (ROOT / 'requirements' / file).read_text().splitlines()
        return dict(line.split('==') for line in lines if line and not line.startswith('#'))

    others, docs = pins(f'{stack}/constraints.txt'), pins('docs.txt')
    assert {name: others[name] for name in docs.keys() & others.keys()} == {
        name: docs[name] for name in docs.keys() & others.keys()
    }
