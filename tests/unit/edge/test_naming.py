"""Names of services, by real command lines: a table of what `/proc` tells and the name it must give."""

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pulka.edge.naming import Name, name_service, runtime_of

PYTHON, NODE, JAVA = "/usr/bin/python3.11", "/usr/bin/node", "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"
FILES = {
    "srv/shop/package.json": json.dumps({"name": "@acme/shop-frontend", "version": "1.0.0"}),
    "srv/shop/dist/server.js": "",
    "srv/plain/server.js": "",
    "srv/orders/manage.py": "",
    "srv/orders/orders/__init__.py": "",
    "srv/pack/billing/__init__.py": "",
    "srv/pack/billing/jobs/__init__.py": "",
    "srv/pack/billing/jobs/nightly.py": "",
    "srv/rails/config/application.rb": "require 'rails'\nmodule StoreFront\n  class Application\nend\n",
    "srv/laravel/artisan": "",
    "srv/laravel/composer.json": json.dumps({"name": "acme/checkout"}),
    "srv/fresh/artisan": "",
    "srv/fresh/composer.json": json.dumps({"name": "laravel/laravel"}),
    "srv/net/Billing.Api.runtimeconfig.json": "{}",
    "srv/broken/package.json": "{",
    "srv/broken/index.js": "",
}
SPRING = {"a.jar": "spring.application.name=payments\n", "b.jar": "server:\n  port: 80\nspring:\n  profiles: x\n  application:\n    name: 'ledger'\n"}

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("gunicorn app", {"exe": PYTHON, "argv": [PYTHON, "/usr/bin/gunicorn", "-w", "4", "shop.wsgi:application"]}, "shop", "gunicorn"),
    ("gunicorn name", {"exe": PYTHON, "argv": [PYTHON, "/venv/bin/gunicorn", "--name=cart", "app:app"]}, "cart", "gunicorn"),
    ("gunicorn title", {"exe": PYTHON, "argv": ["gunicorn: worker [cart]"]}, "cart", "gunicorn"),
    ("gunicorn title, generic", {"exe": PYTHON, "argv": ["gunicorn: master [app:app]"], "cwd": "/srv/cart"}, "cart", "gunicorn"),
    ("gunicorn bare module", {"exe": PYTHON, "argv": [PYTHON, "/usr/bin/gunicorn", "inventory"]}, "inventory", "gunicorn"),
    ("uvicorn", {"exe": PYTHON, "argv": [PYTHON, "/venv/bin/uvicorn", "catalog.main:app", "--port", "80"]}, "catalog", "uvicorn"),
    ("uvicorn by -m", {"exe": PYTHON, "argv": ["python", "-m", "uvicorn", "main:app"], "cwd": "/srv/catalog"}, "catalog", "uvicorn"),
    ("uvicorn factory", {"exe": PYTHON, "argv": ["python", "-u", "-m", "uvicorn", "--factory", "api.search:create_app"]}, "search", "uvicorn"),
    ("celery", {"exe": PYTHON, "argv": [PYTHON, "/venv/bin/celery", "-A", "mails.tasks", "worker", "-l", "info"]}, "mails", "celery"),
    ("celery by -m", {"exe": PYTHON, "argv": ["python", "-m", "celery", "--app=mails", "beat"]}, "mails", "celery"),
    ("flask", {"exe": PYTHON, "argv": [PYTHON, "/venv/bin/flask", "--app", "greeter", "run"]}, "greeter", "flask"),
    ("flask without app", {"exe": PYTHON, "argv": [PYTHON, "/venv/bin/flask", "run"], "cwd": "/srv/greeter"}, "greeter", "flask"),
    ("django", {"exe": PYTHON, "argv": ["python", "manage.py", "runserver"], "cwd": "/srv/orders"}, "orders", "django project"),
    ("python -m", {"exe": PYTHON, "argv": ["python3", "-W", "ignore", "-m", "http.server", "8000"]}, "http", "python module"),
    ("python package", {"exe": PYTHON, "argv": ["python", "/srv/pack/billing/jobs/nightly.py"]}, "billing", "python package"),
    ("python script", {"exe": PYTHON, "argv": ["python", "ticker.py"], "cwd": "/srv/x"}, "ticker", "python script"),
    ("python generic script", {"exe": PYTHON, "argv": ["python", "-X", "dev", "/srv/ticker/app.py"]}, "ticker", "python script"),
    ("python -c", {"exe": PYTHON, "argv": ["python", "-c", "import x"]}, "python3.11", "executable"),
    ("node package", {"exe": NODE, "argv": ["node", "dist/server.js"], "cwd": "/srv/shop"}, "@acme/shop-frontend", "package.json"),
    ("node flags", {"exe": NODE, "argv": ["node", "--require", "x.js", "--max-old-space-size=9", "/srv/shop/dist/server.js"]}, "@acme/shop-frontend",
     "package.json"),
    ("node script", {"exe": NODE, "argv": ["node", "/srv/plain/server.js"]}, "plain", "node script"),
    ("node broken package", {"exe": NODE, "argv": ["node", "index.js"], "cwd": "/srv/broken"}, "broken", "node script"),
    ("node -e", {"exe": NODE, "argv": ["node", "-e", "1"]}, "node", "executable"),
    ("jar", {"exe": JAVA, "argv": ["java", "-Xmx1g", "-jar", "/opt/orders-service-1.4.2-SNAPSHOT.jar"]}, "orders-service", "jar"),
    ("jar with classpath", {"exe": JAVA, "argv": ["java", "-cp", "/x.jar", "-jar", "q.jar"]}, "q", "jar"),
    ("spring flag", {"exe": JAVA, "argv": ["java", "-Dspring.application.name=pay", "-jar", "x.jar"]}, "pay", "spring"),
    ("spring argument", {"exe": JAVA, "argv": ["java", "-jar", "x.jar", "--spring.application.name=pay"]}, "pay", "spring"),
    ("spring properties", {"exe": JAVA, "argv": ["java", "-jar", "a.jar"], "cwd": "/srv/jars"}, "payments", "spring"),
    ("spring yaml", {"exe": JAVA, "argv": ["java", "-jar", "/srv/jars/b.jar"]}, "ledger", "spring"),
    ("main class", {"exe": JAVA, "argv": ["java", "-cp", "/a:/b", "com.acme.pricing.Main"]}, "pricing", "java main class"),
    ("apache", {"exe": JAVA, "argv": ["java", "org.apache.flink.runtime.Entry"]}, "flink", "java main class"),
    ("elasticsearch", {"exe": JAVA, "argv": ["java", "-Des.x=1", "org.elasticsearch.bootstrap.Elasticsearch"]}, "elasticsearch", "java main class"),
    ("kafka", {"exe": JAVA, "argv": ["java", "-cp", "x", "kafka.Kafka", "server.properties"]}, "kafka", "java server"),
    ("tomcat", {"exe": JAVA, "argv": ["java", "-Dcatalina.base=/var/lib/tomcat10", "org.apache.catalina.startup.Bootstrap", "start"]}, "tomcat", "java server"),
    ("tomcat base", {"exe": JAVA, "argv": ["java", "-Dcatalina.base=/srv/intranet", "org.apache.catalina.startup.Bootstrap"]}, "intranet", "java server"),
    ("java module", {"exe": JAVA, "argv": ["java", "-m", "com.acme.mailer/com.acme.Main"]}, "mailer", "java module"),
    ("dotnet", {"exe": "/usr/share/dotnet/dotnet", "argv": ["dotnet", "/app/Cart.Api.dll", "--urls", "http://+"]}, "Cart.Api", "dotnet dll"),
    ("dotnet exec", {"exe": "/usr/bin/dotnet", "argv": ["dotnet", "exec", "--x", "Cart.dll"]}, "Cart", "dotnet dll"),
    ("dotnet host", {"exe": "/srv/net/Billing.Api", "argv": ["./Billing.Api"]}, "Billing.Api", "dotnet dll"),
    ("puma", {"exe": "/usr/bin/ruby3.1", "argv": ["puma 6.4.0 (tcp://0.0.0.0:3000) [storefront]"]}, "storefront", "puma"),
    ("puma worker", {"exe": "/usr/bin/ruby3.1", "argv": ["puma: cluster worker 0: 4211 [storefront]"]}, "storefront", "puma"),
    ("sidekiq", {"exe": "/usr/bin/ruby", "argv": ["sidekiq 7.2.0 mails [0 of 5 busy]"]}, "mails", "sidekiq"),
    ("rails", {"exe": "/usr/bin/ruby", "argv": ["ruby", "bin/rails", "server"], "cwd": "/srv/rails"}, "store_front", "rails"),
    ("rackup", {"exe": "/usr/bin/ruby", "argv": ["ruby", "/usr/bin/rackup"], "cwd": "/srv/hooks"}, "hooks", "ruby directory"),
    ("ruby script", {"exe": "/usr/bin/ruby", "argv": ["ruby", "feeder.rb"], "cwd": "/srv/x"}, "feeder", "ruby script"),
    ("php-fpm pool", {"exe": "/usr/sbin/php-fpm8.2", "argv": ["php-fpm: pool shop"]}, "shop", "php-fpm pool"),
    ("php-fpm default pool", {"exe": "/usr/sbin/php-fpm8.2", "argv": ["php-fpm: pool www"]}, "php-fpm", "php-fpm pool"),
    ("php-fpm master", {"exe": "/usr/sbin/php-fpm8.2", "argv": ["php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)"]}, "php-fpm", "executable"),
    ("laravel", {"exe": "/usr/bin/php8.2", "argv": ["php", "artisan", "serve"], "cwd": "/srv/laravel"}, "checkout", "laravel"),
    ("laravel unnamed", {"exe": "/usr/bin/php8.2", "argv": ["php", "/srv/fresh/artisan", "queue:work"]}, "fresh", "laravel"),
    ("rabbitmq", {"exe": "/usr/lib/erlang/erts-13/bin/beam.smp", "argv": ["beam.smp", "-W", "w", "-sname", "rabbit@host"]}, "rabbitmq", "erlang node"),
    ("elixir", {"exe": "/app/erts/bin/beam.smp", "argv": ["beam.smp", "--name", "chat@10.0.0.1"]}, "chat", "erlang node"),
    ("nginx", {"exe": "/usr/sbin/nginx", "argv": ["nginx: worker process"]}, "nginx", "executable"),
    ("postgres", {"exe": "/usr/lib/postgresql/15/bin/postgres", "argv": ["postgres: walwriter "]}, "postgres", "executable"),
    ("gone executable", {"exe": "", "argv": ["redis-server *:6379"]}, "redis-server *:6379", "executable"),
    ("nothing", {"exe": "", "argv": []}, "pid 7", "executable"),
    ("OTEL", {"exe": PYTHON, "argv": ["python", "x.py"], "env": {"OTEL_SERVICE_NAME": "seen", "DD_SERVICE": "other"}}, "seen", "OTEL_SERVICE_NAME"),
    ("DD", {"exe": NODE, "argv": ["node", "x.js"], "env": {"DD_SERVICE": "seen"}, "cgroup": "0::/system.slice/u.service"}, "seen", "DD_SERVICE"),
    ("OTEL attributes", {"exe": NODE, "argv": ["node"], "env": {"OTEL_RESOURCE_ATTRIBUTES": "a=b,service.name=seen"}}, "seen", "OTEL_RESOURCE_ATTRIBUTES"),
    ("DD tags", {"exe": NODE, "argv": ["node"], "env": {"DD_TAGS": "env:x service:seen"}}, "seen", "DD_TAGS"),
    ("unit", {"exe": PYTHON, "argv": ["python", "app.py"], "cgroup": "0::/system.slice/shop.service\n"}, "shop", "systemd unit"),
    ("unit template", {"exe": "/x", "argv": ["x"], "cgroup": "0::/system.slice/system-postgresql.slice/postgresql@15-main.service"}, "postgresql", "systemd unit"),
    ("unit escape", {"exe": "/x", "argv": ["x"], "cgroup": "0::/system.slice/my\\x2dshop.service"}, "my-shop", "systemd unit"),
    ("unit of a session", {"exe": "/x", "argv": ["x"], "cgroup": "0::/user.slice/user-0.slice/session-1.scope"}, "x", "executable"),
    ("unit of cron", {"exe": "/opt/backup", "argv": ["backup"], "cgroup": "0::/system.slice/cron.service"}, "backup", "executable"),
    ("unit of a user", {"exe": "/x", "argv": ["x"], "cgroup": "0::/user.slice/user@1000.service/app.slice/feed.service"}, "feed", "systemd unit"),
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "srv/jars").mkdir()
    for name, text in SPRING.items():
        with zipfile.ZipFile(root / "srv/jars" / name, "w") as jar:
            jar.writestr("BOOT-INF/classes/application." + ("properties" if name == "a.jar" else "yml"), text)
    return root


def process(facts: dict[str, Any]) -> Any:
    return SimpleNamespace(**{"pid": 7, "exe": "", "argv": [], "env": {}, "cgroup": "", "cwd": "/", **facts})


@pytest.mark.parametrize(("facts", "service", "source"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_service_is_named_with_its_source(facts: dict[str, Any], service: str, source: str, root: Path) -> None:
    name = name_service(process(facts), root)
    assert (name.service, name.source) == (service, source)


@pytest.mark.parametrize(
    ("exe", "runtime"),
    [(PYTHON, ("python", "3.11")), (NODE, ("nodejs", "")), (JAVA, ("java", "")), ("/usr/sbin/php-fpm8.2", ("php", "8.2")), ("/usr/sbin/nginx", ("", ""))],
)
def test_the_runtime_is_told_by_the_executable(exe: str, runtime: tuple[str, str]) -> None:
    assert runtime_of(exe) == runtime


def varint(text: bytes) -> bytes:
    size, out = len(text), b""
    while size >= 0x80:
        out, size = out + bytes([size & 0x7F | 0x80]), size >> 7
    return out + bytes([size]) + text


def go_binary(information: str, version: bytes = b"go1.24.1") -> bytes:
    head = (b"\xff Go buildinf:\x08\x02").ljust(32, b"\0")
    return b"\x7fELF".ljust(2048, b"x") + head + varint(version) + varint(b"m" * 16 + information.encode() + b"m" * 16)


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("github.com/acme/shop/cmd/server", "shop"),
        ("github.com/acme/orders/v2", "orders"),
        ("github.com/acme/shop/cmd/mailer", "mailer"),
        ("command-line-arguments", "binary"),
    ],
)
def test_go_binaries_tell_their_module(path: str, service: str, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(go_binary(f"path\t{path}\nmod\tgithub.com/acme/x\t(devel)\n"))
    assert name_service(process({"exe": "/binary", "argv": ["/binary"]}), tmp_path) == Name(service, "go module", "go 1.24.1")


@pytest.mark.parametrize("cut", [2048, 2062, 2080, 2081, 2090, 2200])
def test_cut_go_binaries_are_no_trouble(cut: int, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(go_binary("path\tgithub.com/acme/shop\n" + "dep\tx\n" * 40)[:cut])
    assert name_service(process({"exe": "/binary", "argv": ["/binary"]}), tmp_path).service in ("binary", "shop")


@pytest.mark.parametrize(
    ("argv", "service"),
    [
        (["/usr/bin/redis-server", "127.0.0.1:6379"], "redis-server"), (["redis-server *:6379"], "redis-server"), (["/usr/bin/redis-check-rdb"], "redis-check-rdb"),
        (["/opt/other"], "redis-check-rdb"), ([""], "redis-check-rdb"), ([], "redis-check-rdb"),
    ],
)  # fmt: skip
def test_a_file_of_several_commands_goes_by_the_one_that_was_called(argv: list[str], service: str, tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/redis-check-rdb").touch()
    (tmp_path / "usr/bin/redis-server").symlink_to("redis-check-rdb")
    assert name_service(process({"exe": "/usr/bin/redis-check-rdb", "argv": argv}), tmp_path) == Name(service, "executable")


def test_containers_are_named_by_their_labels(tmp_path: Path) -> None:
    from pulka.edge.containers import container_name

    container = "0123456789abcdef" * 4
    directory = tmp_path / "var/lib/docker/containers" / container
    directory.mkdir(parents=True)
    (directory / "config.v2.json").write_text(json.dumps({"Name": "/shop_web_1", "Config": {"Labels": {"com.docker.compose.service": "web"}}}))
    assert container_name(f"0::/system.slice/docker-{container}.scope", tmp_path) == ("web", "container")
    (directory / "config.v2.json").write_text(json.dumps({"Name": "/shop_web_1"}))
    assert container_name(f"4:memory:/docker/{container}", tmp_path) == ("shop_web_1", "container")
    assert container_name("0::/docker/" + "f" * 64, tmp_path) is None


@pytest.mark.parametrize(("pod", "service"), [("cart-7d9c6b5f4-x2x9z", "cart"), ("agent-x2x9z", "agent"), ("db-0", "db"), ("lone", "lone")])
def test_pods_are_named_by_their_workload(pod: str, service: str, tmp_path: Path) -> None:
    from pulka.edge.containers import container_name

    uid = "0b8c3a52-1111-2222-3333-444455556666"
    (tmp_path / f"var/log/pods/shop_{pod}_{uid}").mkdir(parents=True)
    cgroup = f"0::/kubepods.slice/kubepods-pod{uid.replace('-', '_')}.slice/cri-containerd-{'a' * 64}.scope"
    assert container_name(cgroup, tmp_path) == (service, "pod")
