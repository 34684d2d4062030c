# The admin client of confluent-kafka: topics, settings, partitions, records, groups and their offsets, the cluster.
# Promises: each check makes its own topics and groups.
# Does not know: members beyond what makes a group.

import confluent_kafka
from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition, TopicCollection
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec

from harness import admin, check, consumer, done, equal, name, produce, take, topic, until


def refusal(futures):
    try:
        done(futures)
    except KafkaException as error:
        return error.args[0].code()
    raise AssertionError("nothing was refused")


def numbers(count):
    return [str(index).encode() for index in range(count)]


def used_group(kind, count=5):
    where = topic(kind)
    group = f"{where}-g"
    produce(where, numbers(count))
    client = consumer(group)
    client.subscribe([where])
    take(client, count)
    client.commit(asynchronous=False)
    return where, group, client


@check("admin: create, list, delete topics")
def lifecycle():
    where = topic("lifecycle", 3)
    equal(len(admin().list_topics(timeout=10).topics[where].partitions), 3, "partitions")
    equal(refusal(admin().create_topics([NewTopic(where, 1, 1)])), KafkaError.TOPIC_ALREADY_EXISTS, "second making")
    done(admin().delete_topics([where]))
    until("its end", lambda: where not in admin().list_topics(timeout=10).topics)
    equal(refusal(admin().delete_topics([where])), KafkaError.UNKNOWN_TOPIC_OR_PART, "second end")


@check("admin: wrong wishes for a topic are refused by their code")
def wrong_topics():
    ask = admin()
    equal(refusal(ask.create_topics([NewTopic("no blanks", 1, 1)])), KafkaError.TOPIC_EXCEPTION, "name")
    equal(refusal(ask.create_topics([NewTopic(name("none"), 0, 1)])), KafkaError.INVALID_PARTITIONS, "partitions")
    equal(refusal(ask.create_topics([NewTopic(name("copies"), 1, 3)])), KafkaError.INVALID_REPLICATION_FACTOR, "copies")
    odd = NewTopic(name("odd"), 1, 1, config={"no.such.setting": "1"})
    equal(refusal(ask.create_topics([odd])), KafkaError.INVALID_CONFIG, "setting")


@check("admin: describe topics")
def describe_topics():
    where = topic("describe", 2)
    described = done(admin().describe_topics(TopicCollection([where])))[where]
    equal((described.name, len(described.partitions), described.is_internal), (where, 2, False), "description")
    equal(described.partitions[0].leader.id, described.partitions[0].isr[0].id, "leader in sync")


@check("admin: add partitions")
def partitions():
    where = topic("partitions", 2)
    done(admin().create_partitions([NewPartitions(where, 4)]))
    until("four partitions", lambda: len(admin().list_topics(where, timeout=10).topics[where].partitions) == 4)
    equal(refusal(admin().create_partitions([NewPartitions(where, 3)])), KafkaError.INVALID_PARTITIONS, "fewer")


@check("admin: describe and alter settings")
def settings():
    where = topic("settings", config={"retention.ms": "60000"})
    resource = ConfigResource(ConfigResource.Type.TOPIC, where)
    read = lambda: done(admin().describe_configs([resource]))[resource]
    equal((read()["retention.ms"].value, read()["retention.ms"].is_default), ("60000", False), "at first")
    resource.add_incremental_config(ConfigEntry("retention.ms", "90000", incremental_operation=AlterConfigOpType.SET))
    done(admin().incremental_alter_configs([resource]))
    until("the new value", lambda: read()["retention.ms"].value == "90000")
    resource = ConfigResource(ConfigResource.Type.TOPIC, where)
    resource.add_incremental_config(ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE))
    done(admin().incremental_alter_configs([resource]))
    until("the default", lambda: read()["retention.ms"].value == "604800000")


@check("admin: a wrong setting is refused")
def wrong_setting():
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic("wrong-setting"))
    resource.add_incremental_config(ConfigEntry("retention.ms", "soon", incremental_operation=AlterConfigOpType.SET))
    equal(refusal(admin().incremental_alter_configs([resource])), KafkaError.INVALID_CONFIG, "refusal")


@check("admin: describe broker settings")
def broker_settings():
    node = next(iter(admin().list_topics(timeout=10).brokers))
    resource = ConfigResource(ConfigResource.Type.BROKER, str(node))
    entries = done(admin().describe_configs([resource]))[resource]
    equal("message.max.bytes" in entries and "num.partitions" in entries, True, "known settings")


@check("admin: delete records")
def delete_records():
    where = topic("delete-records")
    produce(where, numbers(10))
    place = TopicPartition(where, 0, 6)
    equal(done(admin().delete_records([place]))[place].low_watermark, 6, "low watermark")
    reader = consumer()
    equal(reader.get_watermark_offsets(TopicPartition(where, 0), timeout=10), (6, 10), "low and high")
    reader.assign([TopicPartition(where, 0, 0)])
    equal([message.offset() for message in take(reader, 4)], [6, 7, 8, 9], "offsets left")
    reader.close()


@check("admin: list offsets")
def list_offsets():
    where = topic("list-offsets")
    produce(where, numbers(5), timestamp=1_700_000_000_000)
    place = TopicPartition(where, 0)
    for spec, expected in ((OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 5), (OffsetSpec.for_timestamp(1_600_000_000_000), 0)):
        equal(done(admin().list_offsets({place: spec}))[place].offset, expected, f"offset of {spec}")
    greatest = done(admin().list_offsets({place: OffsetSpec.max_timestamp()}))[place]
    equal((greatest.offset in range(5), greatest.timestamp), (True, 1_700_000_000_000), "greatest timestamp")


@check("admin: list and describe groups")
def describe_groups():
    where, group, client = used_group("groups")
    listed = admin().list_consumer_groups().result(10)
    equal(group in [entry.group_id for entry in listed.valid], True, "listed")
    described = done(admin().describe_consumer_groups([group]))[group]
    equal((described.state, len(described.members)), (ConsumerGroupState.STABLE, 1), "state and members")
    held = described.members[0].assignment.topic_partitions
    equal([(place.topic, place.partition) for place in held], [(where, 0)], "assignment")
    equal(refusal(admin().delete_consumer_groups([group])), KafkaError.NON_EMPTY_GROUP, "deleting it")
    client.close()


@check("admin: read, alter and delete group offsets; delete the group")
def group_offsets():
    where, group, client = used_group("group-offsets")
    client.close()
    read = lambda: done(admin().list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))[group].topic_partitions
    until("an empty group", lambda: done(admin().describe_consumer_groups([group]))[group].state == ConsumerGroupState.EMPTY)
    equal([(place.topic, place.offset) for place in read()], [(where, 5)], "committed")
    wish = ConsumerGroupTopicPartitions(group, [TopicPartition(where, 0, 2)])
    done(admin().alter_consumer_group_offsets([wish]))
    equal([place.offset for place in read()], [2], "altered")
    done(admin().delete_consumer_groups([group]))
    listed = admin().list_consumer_groups().result(10)
    equal(group in [entry.group_id for entry in listed.valid], False, "still listed")


@check("admin: the cluster")
def cluster():
    described = admin().describe_cluster().result(10)
    equal(len(described.nodes), 1, "nodes")
    equal(bool(described.cluster_id) and described.controller is not None, True, "id and controller")


@check("admin: SCRAM credentials")
def scram():
    equal(isinstance(admin().describe_user_scram_credentials().result(10), dict), True, "answer")


assert confluent_kafka.libversion()
