package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

var (
	names   int
	started = time.Now().UnixNano() & 0xffffff
)

// name is one that no other check uses.
func name(prefix string) string {
	names++
	return fmt.Sprintf("%s-go-%x-%d", prefix, started, names)
}

func within(limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	time.AfterFunc(limit, cancel)
	return ctx
}

func client(options ...kgo.Opt) *kgo.Client {
	base := []kgo.Opt{kgo.SeedBrokers(os.Getenv("BOOTSTRAP")), kgo.RetryTimeout(60 * time.Second), kgo.AllowAutoTopicCreation()}
	c, err := kgo.NewClient(append(base, options...)...)
	must(err)
	return c
}

func newTopic(partitions int32) string {
	topic := name("topic")
	admin := kadm.NewClient(client())
	defer admin.Close()
	_, err := admin.CreateTopic(within(20*time.Second), partitions, 1, nil, topic)
	must(err)
	return topic
}

// send produces records first..first+count to partition 0 and returns the offset of each acknowledgement.
func send(c *kgo.Client, topic string, first, count int) []int64 {
	offsets := make([]int64, count)
	var wait sync.WaitGroup
	var problem error
	for i := range count {
		wait.Add(1)
		record := &kgo.Record{Topic: topic, Partition: 0, Key: fmt.Appendf(nil, "k-%d", first+i), Value: fmt.Appendf(nil, "v-%d", first+i)}
		c.Produce(context.Background(), record, func(r *kgo.Record, err error) {
			defer wait.Done()
			if err != nil {
				problem = err
			}
			offsets[i] = r.Offset
		})
	}
	wait.Wait()
	must(problem)
	return offsets
}

func take(c *kgo.Client, count int) []*kgo.Record {
	var records []*kgo.Record
	ctx := within(30 * time.Second)
	for len(records) < count {
		fetches := c.PollFetches(ctx)
		that(ctx.Err() == nil, "read %d of %d records in 30 s", len(records), count)
		fetches.EachError(func(topic string, partition int32, err error) { must(err) })
		records = append(records, fetches.Records()...)
	}
	that(len(records) == count, "read %d records, wanted %d", len(records), count)
	return records
}

func readAll(topic string, count int, options ...kgo.Opt) []*kgo.Record {
	from := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}
	c := client(append(options, kgo.ConsumePartitions(from))...)
	defer c.Close()
	return take(c, count)
}

// control asks the harness to kill, start, restart or stop the broker, and waits for it.
func control(action string) {
	connection, err := net.Dial("tcp", "127.0.0.1:"+os.Getenv("BROKER_CONTROL"))
	must(err)
	defer connection.Close()
	fmt.Fprintln(connection, action)
	answer, err := bufio.NewReader(connection).ReadString('\n')
	must(err)
	that(answer == "ok\n", "%s: %s", action, answer)
}

func clientChecks() []check {
	return []check{
		{"every codec is sent and read back", everyCodec},
		{"every acks setting delivers", everyAcks},
		{"idempotent producer gets gapless offsets", idempotent},
		{"headers, nulls and timestamps survive", headersAndNulls},
		{"old protocol versions are served", oldVersions},
		{"read committed reads plain records", func() {
			topic := newTopic(1)
			fill(topic, 10)
			readAll(topic, 10, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		}},
		{"offsets of ends and times", offsets},
		{"topics, configs and groups are administered", administered},
		{"clients come back after kill -9, with every acknowledged record in place", killed},
	}
}

func fill(topic string, count int, options ...kgo.Opt) []int64 {
	c := client(append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	defer c.Close()
	return send(c, topic, 0, count)
}

func inOrder(offsets []int64) {
	for i, offset := range offsets {
		that(offset == int64(i), "record %d was acknowledged at offset %d", i, offset)
	}
}

func sameValues(records []*kgo.Record) {
	for i, record := range records {
		that(string(record.Value) == fmt.Sprintf("v-%d", i), "offset %d holds %s", record.Offset, record.Value)
	}
}

func everyCodec() {
	codecs := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}
	for _, codec := range codecs {
		topic := newTopic(1)
		inOrder(fill(topic, 1000, kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(10*time.Millisecond)))
		sameValues(readAll(topic, 1000))
	}
}

func everyAcks() {
	for _, acks := range []kgo.Acks{kgo.NoAck(), kgo.LeaderAck(), kgo.AllISRAcks()} {
		topic := newTopic(1)
		fill(topic, 200, kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite())
		sameValues(readAll(topic, 200))
	}
}

func idempotent() {
	topic := newTopic(1)
	inOrder(fill(topic, 5000, kgo.ProducerBatchMaxBytes(1024), kgo.MaxBufferedRecords(5_000)))
}

func headersAndNulls() {
	topic := newTopic(1)
	c := client()
	defer c.Close()
	stamp := time.UnixMilli(1_700_000_000_000)
	headers := []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a", Value: nil}, {Key: "b", Value: []byte{}}}
	must(c.ProduceSync(within(20*time.Second), &kgo.Record{Topic: topic, Timestamp: stamp, Headers: headers}).FirstErr())
	record := readAll(topic, 1)[0]
	that(record.Key == nil && record.Value == nil, "key %v, value %v", record.Key, record.Value)
	that(record.Timestamp.Equal(stamp), "timestamp %v", record.Timestamp)
	that(len(record.Headers) == 3 && record.Headers[1].Value == nil && record.Headers[2].Value != nil, "headers %v", record.Headers)
}

// oldVersions caps the client to the protocol of brokers as old as those whose ApiVersions still fit record batches v2.
func oldVersions() {
	for _, versions := range []*kversion.Versions{kversion.V0_11_0(), kversion.V1_1_0(), kversion.V2_4_0(), kversion.V3_0_0()} {
		topic := newTopic(1)
		inOrder(fill(topic, 50, kgo.MaxVersions(versions)))
		sameValues(readAll(topic, 50, kgo.MaxVersions(versions)))
	}
}

func offsets() {
	topic := newTopic(1)
	fill(topic, 20)
	admin := kadm.NewClient(client())
	defer admin.Close()
	ctx := within(20 * time.Second)
	start, err := admin.ListStartOffsets(ctx, topic)
	must(err)
	end, err := admin.ListEndOffsets(ctx, topic)
	must(err)
	first, _ := start.Lookup(topic, 0)
	last, _ := end.Lookup(topic, 0)
	that(first.Offset == 0 && last.Offset == 20, "from %d to %d", first.Offset, last.Offset)
	after, err := admin.ListOffsetsAfterMilli(ctx, 1, topic)
	must(err)
	found, _ := after.Lookup(topic, 0)
	that(found.Offset == 0, "the first offset after 1970 is %d", found.Offset)
}

func administered() {
	admin := kadm.NewClient(client())
	defer admin.Close()
	ctx := within(30 * time.Second)
	topic, group := newTopic(2), name("admin")
	_, err := admin.CreateTopic(ctx, 1, 1, nil, topic)
	that(err == kerr.TopicAlreadyExists, "creating it again: %v", err)
	value := "5000"
	_, err = admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "max.message.bytes", Value: &value}}, topic)
	must(err)
	eventually("max.message.bytes", func() bool {
		configs, err := admin.DescribeTopicConfigs(ctx, topic)
		must(err)
		for _, config := range configs[0].Configs {
			if config.Key == "max.message.bytes" {
				return config.MaybeValue() == value
			}
		}
		return false
	})
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, 7, -1)
	must(admin.CommitAllOffsets(ctx, group, offsets))
	committed, err := admin.FetchOffsets(ctx, group)
	must(err)
	at, _ := committed.Lookup(topic, 0)
	that(at.At == 7, "committed %d", at.At)
	_, err = admin.DeleteGroup(ctx, group)
	must(err)
	_, err = admin.DeleteTopic(ctx, topic)
	must(err)
}

func killed() {
	topic := newTopic(1)
	c := client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }))
	defer c.Close()
	inOrder(send(c, topic, 0, 500))
	control("kill")
	done := make(chan []int64)
	go func() { done <- send(c, topic, 500, 500) }()
	control("start")
	for i, offset := range <-done {
		that(offset == int64(500+i), "record %d was acknowledged at offset %d", 500+i, offset)
	}
	sameValues(readAll(topic, 1000))
}
