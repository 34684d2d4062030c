"""Question and answer: a server works a queue off and answers to where each question says. The client names no queue of
its own but amq.rabbitmq.reply-to: answers come straight back, nothing is declared, nothing is stored.

pip install pika
python examples/rabbitmq/rpc.py [URL]
"""
import os
import sys
import uuid

import pika

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AMQP_URL", "amqp://127.0.0.1")
connection = pika.BlockingConnection(pika.URLParameters(url))

# The server.
server = connection.channel()
server.queue_declare("rpc.square", durable=True)
server.basic_qos(prefetch_count=1)


def serve(ch, method, question, body):
    answer = str(int(body) ** 2)
    properties = pika.BasicProperties(correlation_id=question.correlation_id)
    ch.basic_publish("", question.reply_to, answer, properties)
    ch.basic_ack(method.delivery_tag)


server.basic_consume("rpc.square", serve)

# The client: it must take the answers, without acks, before it asks.
client = connection.channel()
answers = {}


def answered(ch, method, properties, body):
    # The id tells which of several questions is answered.
    answers[properties.correlation_id] = int(body)


client.basic_consume("amq.rabbitmq.reply-to", answered, auto_ack=True)
questions = {str(uuid.uuid4()): number for number in [2, 3, 12]}
for correlation_id, number in questions.items():
    properties = pika.BasicProperties(
        reply_to="amq.rabbitmq.reply-to", correlation_id=correlation_id, expiration="5000"
    )
    client.basic_publish("", "rpc.square", str(number), properties)
while len(answers) < len(questions):
    connection.process_data_events(time_limit=5)
for correlation_id, number in questions.items():
    print(f"the square of {number} is {answers[correlation_id]}")
connection.close()
