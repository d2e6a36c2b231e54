"""What a server keeps: its settings, and the users, keys, organizations or tenants in its database.

One class serves both servers. `Group` is v3's organization and v4's tenant. Ids are texts everywhere: v3's
numbers in decimal, UUIDs in lower case.
"""

import threading
import uuid
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter

Version = tuple[int, ...]

# What v4 makes on its first boot. From v4.12.0 on PostgreSQL has random ids, and SQLite these.
_FIXED_USER = "05244f12-6daf-4e1f-8315-c66783a0ab56"
_FIXED_TENANT = "52f14cd4-c6f1-4fbd-8f87-4025e1d49242"


def parse_version(text: str) -> Version:
    """`4.20.0-test.1` counts as 4.20.0."""
    return tuple(int(part) for part in text.removeprefix("v").split("-")[0].split("."))


@dataclass(slots=True)
class User:
    id: str
    email: str
    password: str
    is_admin: bool
    is_active: bool
    created_at: float


@dataclass(slots=True)
class Group:
    id: str
    name: str
    display_name: str
    created_at: float


@dataclass(slots=True)
class Member:
    user_id: str
    group_id: str
    is_admin: bool
    created_at: float


@dataclass(slots=True)
class Application:
    id: str
    group_id: str
    name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a key is for. v3 lets a global admin set both ids, and v3.10 neither."""

    is_admin: bool = False
    tenant_id: str = ""
    organization_id: str = ""
    application_id: str = ""

    def __str__(self) -> str:
        parts = ["admin"] if self.is_admin else []
        for kind in ("tenant", "organization", "application"):
            if value := getattr(self, f"{kind}_id"):
                parts.append(f"{kind}:{value}")
        return ",".join(parts) or "none"

    @classmethod
    def parse(cls, scope: str) -> "Owner":
        kind, _, value = scope.partition(":")
        if (kind == "admin") == bool(value) or kind not in ("admin", "tenant", "organization", "application"):
            raise ValueError(f"no scope: {scope!r}")
        return cls(
            is_admin=kind == "admin",
            tenant_id=value if kind == "tenant" else "",
            organization_id=value if kind == "organization" else "",
            application_id=value if kind == "application" else "",
        )


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: str
    name: str
    owner: Owner
    is_read_only: bool = False

    @property
    def scope(self) -> str:
        """`admin`, `tenant:ID`, `organization:ID` or `application:ID`."""
        return str(self.owner)


class State:
    """Whoever reads or changes it from several threads holds `lock`."""

    def __init__(self, api: str, version: str, secret: str, clock: Callable[[], float], postgres: bool) -> None:
        self.api = api
        self.version_text = version.removeprefix("v")
        self.version = parse_version(version)
        self.secret = secret
        self.clock = clock
        self.postgres = postgres
        self.database_down = False
        self.lock = threading.RLock()
        self.users: dict[str, User] = {}
        self.groups: dict[str, Group] = {}
        self.applications: dict[str, Application] = {}
        self.members: list[Member] = []
        self._keys: dict[str, ApiKey] = {}
        self._by_owner: dict[Owner, list[ApiKey]] = {}
        self._first_boot()

    def _first_boot(self) -> None:
        if self.api == "v3":
            user = self.add_user("admin", "admin", is_admin=True)
            group = self.add_group("chirpstack", display_name="ChirpStack")
            self.add_member(user.id, group.id, is_admin=True)
            return
        random_ids = self.postgres and self.version >= (4, 12)
        user_id = str(uuid.uuid4()) if random_ids else _FIXED_USER
        tenant_id = str(uuid.uuid4()) if random_ids else _FIXED_TENANT
        # SQLite fills in whole seconds.
        now = self.clock() if self.postgres else float(int(self.clock()))
        self.users[user_id] = User(user_id, "admin", "admin", is_admin=True, is_active=True, created_at=now)
        self.groups[tenant_id] = Group(tenant_id, "ChirpStack", "ChirpStack", created_at=now)

    def _new_id(self, table: dict[str, User] | dict[str, Group] | dict[str, Application]) -> str:
        return str(len(table) + 1) if self.api == "v3" else str(uuid.uuid4())

    def add_user(self, email: str, password: str, *, is_admin: bool, is_active: bool = True) -> User:
        user = User(self._new_id(self.users), email, password, is_admin, is_active, self.clock())
        self.users[user.id] = user
        return user

    def user_by_email(self, email: str) -> User | None:
        return next((user for user in self.users.values() if user.email == email), None)

    def add_group(self, name: str, *, display_name: str = "") -> Group:
        if self.api == "v3" and any(group.name == name for group in self.groups.values()):
            raise ValueError(f"v3's organization names are unique: {name}")
        group = Group(self._new_id(self.groups), name, display_name or name, self.clock())
        self.groups[group.id] = group
        return group

    def add_application(self, group_id: str, name: str) -> Application:
        if group_id not in self.groups:
            raise ValueError(f"no organization or tenant has the id {group_id}")
        application = Application(self._new_id(self.applications), group_id, name, self.clock())
        self.applications[application.id] = application
        return application

    def add_member(self, user_id: str, group_id: str, *, is_admin: bool) -> None:
        self.members.append(Member(user_id, group_id, is_admin, self.clock()))

    def member(self, user_id: str, group_id: str) -> Member | None:
        return next((m for m in self.members if (m.user_id, m.group_id) == (user_id, group_id)), None)

    def groups_of(self, user: User) -> list[Group]:
        """What the user's own lists show: everything to a global admin."""
        if user.is_admin:
            return list(self.groups.values())
        return [group for group in self.groups.values() if self.member(user.id, group.id)]

    def add_key(self, name: str, owner: Owner, *, is_read_only: bool = False, key_id: str | None = None) -> ApiKey:
        key = ApiKey(key_id or str(uuid.uuid4()), name, owner, is_read_only)
        self._keys[key.id] = key
        # Equal names stay in the order of their creation; a real database promises no order among them.
        insort(self._by_owner.setdefault(owner, []), key, key=attrgetter("name"))
        return key

    def add_keys(self, names: Iterator[str], owner: Owner) -> None:
        """Many at once, sorted only once."""
        new = [ApiKey(str(uuid.uuid4()), name, owner) for name in names]
        self._keys.update((key.id, key) for key in new)
        keys = self._by_owner.setdefault(owner, [])
        keys += new
        keys.sort(key=attrgetter("name"))

    def key(self, key_id: str) -> ApiKey | None:
        return self._keys.get(key_id)

    def delete_key(self, key_id: str) -> bool:
        key = self._keys.pop(key_id, None)
        if key is None:
            return False
        keys = self._by_owner[key.owner]
        index = bisect_left(keys, key.name, key=attrgetter("name"))
        while keys[index].id != key_id:
            index += 1
        del keys[index]
        return True

    def keys(self, matches: Callable[[Owner], bool]) -> list[ApiKey]:
        """The keys of these owners, by name. Not to be changed by the caller."""
        lists = [keys for owner, keys in self._by_owner.items() if matches(owner)]
        if len(lists) == 1:
            return lists[0]
        return sorted((key for keys in lists for key in keys), key=attrgetter("name"))
