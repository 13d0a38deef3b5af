"""What is found in /proc."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jupyter_lambda.sandbox import process_tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_processes_are_found_by_environment_and_by_output(tmp_path):
    marker = process_tree.marker_of(str(tmp_path))
    read = subprocess.Popen(["cat"], stdin=subprocess.PIPE, env={"TMPDIR": f"{tmp_path}/x"})
    with (tmp_path / "log").open("w") as log:
        write = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log, env={})
    other = subprocess.Popen(["cat"], stdin=subprocess.PIPE, env={"TMPDIR": f"{tmp_path}er/x"})
    with read, write, other:
        assert sorted(process_tree.marked(marker)) == sorted([read.pid, write.pid])
        assert process_tree.kill_marked(marker) == 2
        assert other.poll() is None
        other.stdin.close()
    assert other.returncode == 0


def test_descendants_and_their_memory():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        while len(process_tree.descendants(child.pid)) < 2:
            assert child.poll() is None
        assert process_tree.status_kb(child.pid, b"VmHWM") > 1000
        assert process_tree.proportional_kb(child.pid) > 500
        child.stdin.write(b"\n")
    assert process_tree.descendants(child.pid) == [child.pid]
    assert process_tree.status_kb(child.pid, b"VmHWM") == process_tree.proportional_kb(child.pid) == 0


def test_the_warden_kills_groups_when_its_pipe_ends(tmp_path):
    group = subprocess.Popen(["sleep", "300"], start_new_session=True)
    spared = subprocess.Popen(["sleep", "300"], start_new_session=True)
    command = [sys.executable, "-I", "-S", process_tree.__file__, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as warden:
        warden.stdin.write(b"+%d\n+%d\n-%d\n" % (group.pid, spared.pid, spared.pid))
    assert warden.returncode == 0
    assert group.wait(5) == -9
    assert spared.poll() is None
    spared.kill()
    spared.wait()
    assert os.getpid() in process_tree.processes()
