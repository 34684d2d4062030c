# confluent-kafka (librdkafka) at work: the messages it sends in its usual life, for the recorder.
# Promises: leaves no topic and but one empty-going group (static members do not leave) behind; prints the versions on its last line.
# Does not know: who listens.

import sys

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec

BROKER = sys.argv[1]
TOPIC = GROUP = "golden-confluent"
BASE = {"bootstrap.servers": BROKER, "client.id": "golden"}


def done(futures):
    return {key: future.result(20) for key, future in futures.items()}


def produce(**options):
    producer = Producer({**BASE, **options})
    for number in range(6):
        producer.produce(TOPIC, key=b"key", value=b"value " * 20, partition=number % 2, headers=[("one", b"1"), ("none", None)],
                         timestamp=1700000000000 + number)
    producer.produce(TOPIC, partition=0)
    assert producer.flush(20) == 0


def consume(**options):
    consumer = Consumer({**BASE, "group.id": GROUP, "auto.offset.reset": "earliest", "enable.auto.commit": False, **options})
    consumer.subscribe([TOPIC])
    seen = 0
    while seen < 7:
        message = consumer.poll(10)
        if message is not None and message.error() is None:
            seen += 1
            consumer.commit(message, asynchronous=False)
    consumer.committed([TopicPartition(TOPIC, 0)], 10)
    consumer.offsets_for_times([TopicPartition(TOPIC, 0, 1700000000002)], 10)
    consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), 10)
    consumer.close()


admin = AdminClient(BASE)
done(admin.create_topics([NewTopic(TOPIC, 2, 1, config={"retention.ms": "60000"})]))
done(admin.create_partitions([NewPartitions(TOPIC, 3)]))
for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
    produce(**{"compression.type": codec})
produce(**{"enable.idempotence": True})
produce(acks=0)
consume()
consume(**{"group.instance.id": "golden-static", "group.id": GROUP + "-static"})
resource = ConfigResource(ConfigResource.Type.TOPIC, TOPIC)
done(admin.describe_configs([resource]))
done(admin.incremental_alter_configs([ConfigResource(ConfigResource.Type.TOPIC, TOPIC, incremental_configs=[
    ConfigEntry("retention.ms", "90000", incremental_operation=confluent_kafka.admin.AlterConfigOpType.SET)])]))
done(admin.alter_configs([ConfigResource(ConfigResource.Type.TOPIC, TOPIC, set_config={"retention.ms": "80000"})]))
done(admin.list_offsets({TopicPartition(TOPIC, 0): OffsetSpec.latest(), TopicPartition(TOPIC, 1): OffsetSpec.earliest()}))
done(admin.delete_records([TopicPartition(TOPIC, 0, 1)]))
admin.list_consumer_groups().result(20)
done(admin.describe_consumer_groups([GROUP]))
done(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)]))
done(admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP, [TopicPartition(TOPIC, 0, 2)])]))
admin.describe_cluster().result(20)
done(admin.delete_consumer_groups([GROUP]))
done(admin.delete_topics([TOPIC]))
print(confluent_kafka.version(), "librdkafka", confluent_kafka.libversion()[0])
