"""The job as a service among others."""

import time

from tests.container.harness import Project


def test_first_boot_on_a_named_volume_ends_with_a_consumer_whose_token_works(project: Project) -> None:
    project.up()
    assert project.end("consumer") == 0
    assert "created key 'init-job'" in project.log("init")
    assert "works" in project.log("consumer")
    assert project.key_names() == ["init-job"]


def test_a_second_up_changes_nothing(project: Project) -> None:
    project.up()
    token = project.read("token")
    project.up("--force-recreate", "--no-deps", "init")
    assert project.end("init") == 0
    assert "up to date" in project.log("init")
    assert project.read("token") == token
    assert project.key_names() == ["init-job"]


def test_the_consumer_starts_only_after_the_job_has_succeeded(project: Project) -> None:
    project.up()
    assert project.end("consumer") == 0
    job, consumer = project.container("init")["State"], project.container("consumer")["State"]
    assert job["FinishedAt"] <= consumer["StartedAt"]


def test_a_server_that_is_slow_by_20_s_is_waited_for(project: Project) -> None:
    project.environment["SIMULATOR"] = "--api v4 --starts-after 20s"
    begin = time.monotonic()
    project.up()
    assert project.end("consumer") == 0
    assert time.monotonic() - begin >= 20
    assert project.key_names() == ["init-job"]


def test_a_wrong_password_stops_the_consumer(project: Project) -> None:
    project.environment["CHIRPSTACK_PASSWORD"] = "wrong-password"
    assert project.up(fails=True).returncode != 0
    assert project.end("init") == 4
    assert "refused the login of admin" in project.log("init")
    assert "wrong-password" not in project.log("init")
    assert project.container("consumer")["State"]["Status"] == "created"


def test_down_with_the_volumes_and_up_gives_a_new_token(project: Project) -> None:
    project.up()
    token = project.read("token")
    project.compose("down", "--volumes")
    project.up()
    assert project.end("consumer") == 0
    assert project.read("token") != token


def test_v3_is_served_by_the_same_image(project: Project) -> None:
    project.environment["SIMULATOR"] = "--api v3 --starts-after 1s --starting-for 500ms"
    project.up()
    assert project.end("consumer") == 0
    assert "ChirpStack v3" in project.log("init")


def test_two_projects_with_a_key_each_share_one_server(project: Project, server: Project, volume: str) -> None:
    project.up()
    done = server.run_job("--volume", f"{volume}:/shared", "--env", "API_KEY_NAME=other")
    assert done.returncode == 0
    assert sorted(server.key_names()) == ["init-job", "other"]


def test_of_two_projects_that_ask_for_the_same_key_the_second_is_told_so(project: Project, volume: str) -> None:
    project.up()
    done = project.run_job("--volume", f"{volume}:/shared", fails=True)
    assert done.returncode == 5
    assert "ON_LOST_TOKEN" in done.stderr
    assert project.key_names() == ["init-job"]


def test_a_job_that_is_restarted_on_failure_ends_once_it_has_succeeded(project: Project) -> None:
    project.environment |= {
        "RESTART": "on-failure",
        "WAIT_TIMEOUT": "1s",
        "SIMULATOR": "--api v4 --starts-after 5s",
    }
    project.up("chirpstack", "init")
    deadline = time.monotonic() + 60
    while (container := project.container("init"))["State"]["Status"] != "exited":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert container["State"]["ExitCode"] == 0
    assert container["RestartCount"] >= 1
    assert project.key_names() == ["init-job"]
