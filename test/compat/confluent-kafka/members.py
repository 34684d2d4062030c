# Consumer groups with confluent-kafka: commits, two members, cooperative and static membership, takeover.
# Promises: each check uses its own topic and group and closes its members.
# Does not know: administration.

import threading

from confluent_kafka import TopicPartition

from harness import check, consumer, equal, name, produce, take, topic, until


def numbers(count):
    return [str(index).encode() for index in range(count)]


class Member:
    """A member polled by a thread of its own; remembers what it holds and what it read."""

    def __init__(self, group, where, **config):
        self.held = set()
        self.read = []
        self.rebalances = 0
        self.stopping = threading.Event()
        self.client = consumer(group, **{"enable_auto_commit": True, "auto_commit_interval_ms": 200, **config})
        self.client.subscribe([where], on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.revoked)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def assigned(self, _client, partitions):
        self.rebalances += 1
        self.held |= {partition.partition for partition in partitions}

    def revoked(self, _client, partitions):
        self.held -= {partition.partition for partition in partitions}

    def run(self):
        while not self.stopping.is_set():
            message = self.client.poll(0.1)
            if message is not None and not message.error():
                self.read.append((message.partition(), message.offset(), message.value()))
        self.client.close()

    def stop(self):
        self.stopping.set()
        self.thread.join(15)


def share(kind, strategy, **config):
    """Two members of one group take four partitions, one leaves, the other takes all; nothing is lost."""
    where = topic(kind, 4)
    group = f"{where}-g"
    for partition in range(4):
        produce(where, numbers(50), partition=partition)
    settings = {"partition_assignment_strategy": strategy, **config}
    first = Member(group, where, **settings)
    second = None
    try:
        until("the first to hold four", lambda: len(first.held) == 4)
        second = Member(group, where, **settings)
        until("two and two", lambda: len(first.held) == 2 and len(second.held) == 2, 30)
        equal(first.held & second.held, set(), "partitions held twice")
        first.stop()
        until("the second to hold four", lambda: len(second.held) == 4, 30)
        for partition in range(4):
            produce(where, [b"later"], partition=partition)
        until("the later messages", lambda: len([1 for read in second.read if read[2] == b"later"]) == 4)
        places = {(partition, offset) for partition, offset, _ in first.read + second.read}
        equal(len(places), 204, "distinct messages")
    finally:
        first.stop()
        if second is not None:
            second.stop()


@check("two members: range", 90)
def ranged():
    share("range", "range")


@check("two members: roundrobin", 90)
def round_robin():
    share("roundrobin", "roundrobin")


@check("two members: cooperative-sticky", 90)
def cooperative():
    share("cooperative", "cooperative-sticky")


@check("static member: a restart within the session causes no rebalance", 90)
def static():
    where = topic("static", 2)
    group = f"{where}-g"
    produce(where, numbers(4), partition=0)
    stay = Member(group, where, group_instance_id="stays")
    gone = Member(group, where, group_instance_id="restarts")
    again = None
    try:
        until("one and one", lambda: len(stay.held) == 1 and len(gone.held) == 1, 30)
        before = stay.rebalances
        held = set(gone.held)
        gone.stop()
        again = Member(group, where, group_instance_id="restarts")
        until("the same partition again", lambda: again.held == held, 30)
        equal(stay.rebalances, before, "rebalances of the member that stayed")
    finally:
        stay.stop()
        if again is not None:
            again.stop()


@check("a member that vanishes is replaced after its session", 60)
def vanished():
    where = topic("vanished", 2)
    group = f"{where}-g"
    gone = consumer(group, session_timeout_ms=6000, max_poll_interval_ms=6000)
    gone.subscribe([where])
    until("two partitions", lambda: (gone.poll(0.1), gone.assignment())[1])
    # No further poll: the client leaves after max.poll.interval.ms, as a stuck application would.
    heir = Member(group, where)
    try:
        until("the heir to hold two", lambda: len(heir.held) == 2, 40)
    finally:
        heir.stop()
        gone.close()


@check("commit, committed, and going on from there")
def commits():
    where = topic("commits")
    group = f"{where}-g"
    produce(where, numbers(10))
    first = consumer(group)
    first.subscribe([where])
    messages = take(first, 6)
    first.commit(message=messages[3], asynchronous=False)
    stored = first.committed([TopicPartition(where, 0)], timeout=10)
    equal(stored[0].offset, 4, "committed")
    first.close()
    second = consumer(group)
    second.subscribe([where])
    equal([message.offset() for message in take(second, 6)], [4, 5, 6, 7, 8, 9], "offsets after")
    second.close()


@check("commit with metadata")
def metadata():
    where = topic("metadata")
    group = f"{where}-g"
    client = consumer(group)
    client.commit(offsets=[TopicPartition(where, 0, 3, "where I was")], asynchronous=False)
    stored = client.committed([TopicPartition(where, 0)], timeout=10)[0]
    equal((stored.offset, stored.metadata), (3, "where I was"), "offset and metadata")
    client.close()


@check("a group nobody committed for has no offsets")
def nothing_committed():
    where = topic("nothing")
    client = consumer(name("nothing-g"))
    equal(client.committed([TopicPartition(where, 0)], timeout=10)[0].offset, -1001, "offset")
    client.close()


@check("at least once: a member that dies before its commit leaves its messages")
def at_least_once():
    where = topic("at-least-once")
    group = f"{where}-g"
    produce(where, numbers(5))
    first = consumer(group)
    first.subscribe([where])
    take(first, 5)
    first.close()
    second = consumer(group)
    second.subscribe([where])
    equal([message.offset() for message in take(second, 5)], [0, 1, 2, 3, 4], "offsets again")
    second.close()


@check("a subscription by pattern finds a topic made later")
def pattern():
    member = Member(name("pattern-g"), f"^confluent-patt.*{name('').split('-')[-1]}$", topic_metadata_refresh_interval_ms=500)
    try:
        where = topic("pattern")
        produce(where, numbers(3))
        until("three messages", lambda: len(member.read) == 3, 30)
    finally:
        member.stop()


@check("a group protocol of KIP-848")
def modern():
    where = topic("modern", 2)
    produce(where, numbers(3))
    client = consumer(f"{where}-g", group_protocol="consumer", session_timeout_ms=None, heartbeat_interval_ms=None)
    client.subscribe([where])
    take(client, 3)
    client.close()
