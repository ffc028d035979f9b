// Checks the broker at $BOOTSTRAP with KafkaJS, a client in JavaScript alone.
const assert = require("node:assert/strict");
const net = require("node:net");
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require("kafkajs");
const SnappyCodec = require("kafkajs-snappy");

CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;

const kafka = new Kafka({
  clientId: "checks",
  brokers: [process.env.BOOTSTRAP],
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 100 },
});
const run = (Date.now() & 0xffffff).toString(36);
let names = 0;
const name = (prefix) => `${prefix}-js-${run}-${names++}`;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function eventually(what, condition, seconds = 30) {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `${what}: not within ${seconds} s`);
    await sleep(50);
  }
}

async function withAdmin(body) {
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await body(admin);
  } finally {
    await admin.disconnect();
  }
}

async function newTopic(numPartitions = 1) {
  const topic = name("topic");
  await withAdmin((admin) => admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: true }));
  return topic;
}

async function withProducer(options, body) {
  const producer = kafka.producer(options);
  await producer.connect();
  try {
    return await body(producer);
  } finally {
    await producer.disconnect();
  }
}

const messages = (first, count, partition = 0) =>
  Array.from({ length: count }, (_, i) => ({ key: `k-${first + i}`, value: `v-${first + i}`, partition }));

// A group member; `seen` grows by the values it processes.
async function join(topic, groupId, options = {}) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 200, rebalanceTimeout: 5000, maxWaitTimeInMs: 200, ...options });
  const member = { consumer, seen: [], records: [], partitions: [] };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    member.partitions = payload.memberAssignment[topic] || [];
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ message }) => {
      member.seen.push(message.value && message.value.toString());
      member.records.push(message);
    },
  });
  return member;
}

async function readAll(topic, count) {
  const member = await join(topic, name("reader"));
  await eventually(`${count} records`, () => count <= member.seen.length);
  await member.consumer.disconnect();
  assert.equal(member.seen.length, count);
  return member;
}

function control(action) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(process.env.BROKER_CONTROL), "127.0.0.1", () => socket.write(`${action}\n`));
    socket.once("error", reject);
    socket.once("data", (answer) => {
      socket.destroy();
      if (answer.toString() === "ok\n") resolve();
      else reject(new Error(`${action}: ${answer}`));
    });
  });
}

const inOrder = (count) => Array.from({ length: count }, (_, i) => `v-${i}`);

const checks = {
  "the codecs that KafkaJS has are sent and read back": async () => {
    for (const compression of [CompressionTypes.None, CompressionTypes.GZIP, CompressionTypes.Snappy]) {
      const topic = await newTopic();
      await withProducer({}, async (producer) => {
        const [answer] = await producer.send({ topic, compression, messages: messages(0, 200) });
        assert.equal(answer.baseOffset, "0");
      });
      assert.deepEqual((await readAll(topic, 200)).seen, inOrder(200));
    }
  },

  "every acks setting delivers": async () => {
    for (const acks of [0, 1, -1]) {
      const topic = await newTopic();
      await withProducer({}, (producer) => producer.send({ topic, acks, messages: messages(0, 50) }));
      await readAll(topic, 50);
    }
  },

  "idempotent producer gets gapless offsets": async () => {
    const topic = await newTopic();
    await withProducer({ idempotent: true }, async (producer) => {
      for (let i = 0; i < 20; i++) {
        const [answer] = await producer.send({ topic, messages: messages(10 * i, 10) });
        assert.equal(answer.baseOffset, String(10 * i));
      }
    });
  },

  "headers, nulls and timestamps survive": async () => {
    const topic = await newTopic();
    await withProducer({}, (producer) =>
      producer.send({ topic, messages: [{ key: null, value: null, headers: { a: ["1", "2"] }, timestamp: "1700000000000" }] }),
    );
    const [record] = (await readAll(topic, 1)).records;
    assert.equal(record.key, null);
    assert.equal(record.value, null);
    assert.equal(record.timestamp, "1700000000000");
    assert.deepEqual(record.headers.a.map(String), ["1", "2"]);
  },

  "members join, share and leave": async () => {
    const topic = await newTopic(4);
    const group = name("group");
    const first = await join(topic, group);
    await eventually("one member has all", () => first.partitions.length === 4);
    const second = await join(topic, group);
    await eventually("two share", () => first.partitions.length === 2 && second.partitions.length === 2);
    await withProducer({}, (producer) =>
      producer.send({ topic, messages: [0, 1, 2, 3].flatMap((partition) => messages(25 * partition, 25, partition)) }),
    );
    await eventually("all read", () => first.seen.length + second.seen.length === 100);
    await second.consumer.disconnect();
    await eventually("the one that is left has all", () => first.partitions.length === 4);
    await first.consumer.disconnect();
  },

  "a group goes on from its commit": async () => {
    const topic = await newTopic();
    const group = name("commit");
    await withProducer({}, (producer) => producer.send({ topic, messages: messages(0, 30) }));
    await withAdmin((admin) => admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: "10" }] }));
    const member = await join(topic, group);
    await eventually("the rest", () => member.seen.length === 20);
    assert.equal(member.seen[0], "v-10");
    await member.consumer.disconnect();
  },

  "topics, offsets, configs and groups are administered": async () => {
    const topic = await newTopic(2);
    await withProducer({}, (producer) => producer.send({ topic, messages: messages(0, 10) }));
    await withAdmin(async (admin) => {
      assert.ok((await admin.listTopics()).includes(topic));
      const offsets = await admin.fetchTopicOffsets(topic);
      assert.equal(offsets.find(({ partition }) => partition === 0).high, "10");
      await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
      const described = await admin.describeConfigs({ resources: [{ type: 2, name: topic, configNames: ["retention.ms"] }] });
      assert.equal(described.resources[0].configEntries[0].configValue, "604800000");
      await admin.alterConfigs({ resources: [{ type: 2, name: topic, configEntries: [{ name: "retention.ms", value: "7200000" }] }] });
      await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "4" }] });
      assert.equal((await admin.describeCluster()).brokers.length, 1);
      const group = name("admin");
      await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: "5" }] });
      assert.ok((await admin.listGroups()).groups.some(({ groupId }) => groupId === group));
      await admin.deleteGroups([group]);
      await admin.deleteTopics({ topics: [topic] });
    });
  },

  "clients come back after kill -9": async () => {
    const topic = await newTopic();
    const member = await join(topic, name("survivor"));
    await withProducer({ idempotent: true, maxInFlightRequests: 1 }, async (producer) => {
      await producer.send({ topic, messages: messages(0, 100) });
      await control("kill");
      const later = producer.send({ topic, messages: messages(100, 100) });
      await control("start");
      await later;
    });
    await eventually("the group reads to the end", () => member.seen.includes("v-199"), 60);
    await member.consumer.disconnect();
    assert.deepEqual((await readAll(topic, 200)).seen, inOrder(200));
  },
};

async function main() {
  const only = process.argv[2] || "";
  const selected = Object.entries(checks).filter(([claim]) => claim.includes(only));
  let held = 0;
  for (const [claim, body] of selected) {
    const started = Date.now();
    try {
      await body();
      held++;
      console.log(`ok   ${claim}  (${((Date.now() - started) / 1000).toFixed(1)} s)`);
    } catch (error) {
      console.log(`FAIL ${claim}\n${error.stack}`);
    }
  }
  console.log(`kafkajs: ${held} of ${selected.length} checks hold`);
  process.exit(held === selected.length ? 0 : 1);
}

main();
