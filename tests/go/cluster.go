package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	openMax   = 2000
	finishMax = time.Minute
)

// clusterClient is a producer and a group member for the cluster's scenarios. Settings (JSON) and history are those of
// tests/crash/clients.py; the file FOLDER/NAME.produced says that every record is answered.
type clusterClient struct {
	name, folder string
	settings     struct {
		Bootstrap, Topic, Group string
		Partitions, Rate        int
	}
	mutex   sync.Mutex
	file    *os.File
	history *bufio.Writer
}

// event is one line of the history (crates/sim/src/history.rs), without its time.
type event map[string]any

func runClusterClient(name, folder, settings string) {
	c := &clusterClient{name: name, folder: folder}
	must(json.Unmarshal([]byte(settings), &c.settings))
	file, err := os.Create(filepath.Join(folder, name+".jsonl"))
	must(err)
	c.file, c.history = file, bufio.NewWriter(file)
	var wait sync.WaitGroup
	wait.Go(c.produce)
	wait.Go(c.consume)
	wait.Wait()
	c.flush()
	must(c.file.Close())
}

// monotonic is the machine's monotonic clock, which all clients share; Go's own readings of it are relative.
func monotonic() int64 {
	var now syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&now)), 0)
	that(errno == 0, "clock_gettime: %v", errno)
	return now.Nano()
}

func (c *clusterClient) write(kind string, fields event) {
	fields["t"], fields["event"] = monotonic(), kind
	line, err := json.Marshal(fields)
	must(err)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.history.Write(line)
	must(c.history.WriteByte('\n'))
}

func (c *clusterClient) flush() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	must(c.history.Flush())
}

func (c *clusterClient) exists(name string) bool {
	_, err := os.Stat(filepath.Join(c.folder, name))
	return err == nil
}

func (c *clusterClient) options(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(c.settings.Bootstrap, ",")...),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		kgo.RetryTimeout(5 * time.Minute),
		kgo.RequestTimeoutOverhead(5 * time.Second),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.MetadataMaxAge(2 * time.Second),
		// A broker that is killed right after it accepted a connection is taken for one that wants TLS otherwise.
		kgo.AlwaysRetryEOF(),
	}, more...)
}

func (c *clusterClient) produce() {
	c.write("producer", event{"producer": c.name, "idempotent": true, "ordered": true})
	client, err := kgo.NewClient(c.options(
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(2*time.Millisecond), kgo.DisableFetchSessions(),
	)...)
	must(err)
	defer client.Close()
	var open atomic.Int64
	var problem atomic.Value
	started := time.Now()
	for number := 0; !c.exists("stop"); {
		if time.Since(started).Seconds()*float64(c.settings.Rate) <= float64(number) || open.Load() >= openMax {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		partition := number % c.settings.Partitions
		c.write("send", event{"producer": c.name, "number": number, "topic": c.settings.Topic, "partition": partition})
		open.Add(1)
		sent := number
		client.Produce(context.Background(), c.record(number, int32(partition)), func(record *kgo.Record, err error) {
			open.Add(-1)
			answer := event{"producer": c.name, "number": sent}
			if err != nil {
				fmt.Fprintf(os.Stderr, "record %d of partition %d failed: %v\n", sent, partition, err)
				problem.Store(err)
				answer["definite"] = false
				c.write("fail", answer)
				return
			}
			answer["topic"], answer["partition"], answer["offset"] = record.Topic, record.Partition, record.Offset
			if record.Offset < 0 {
				// A repetition that the broker recognized is acknowledged without an offset.
				answer["offset"] = nil
			}
			c.write("ack", answer)
		})
		number++
	}
	must(client.Flush(within(finishMax)))
	c.flush()
	that(problem.Load() == nil, "a record of an idempotent producer failed: %v", problem.Load())
	must(os.WriteFile(filepath.Join(c.folder, c.name+".produced"), nil, 0o644))
}

func (c *clusterClient) record(number int, partition int32) *kgo.Record {
	value := fmt.Appendf(nil, "%s/%d/", c.name, number)
	value = append(value, bytes.Repeat([]byte("x"), number*37%300)...)
	return &kgo.Record{Topic: c.settings.Topic, Partition: partition, Value: value}
}

func (c *clusterClient) consume() {
	client, err := kgo.NewClient(c.options(
		kgo.ConsumerGroup(c.settings.Group), kgo.ConsumeTopics(c.settings.Topic), kgo.Balancers(kgo.RangeBalancer()),
		kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(300*time.Millisecond), kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.OnPartitionsAssigned(c.noteCommitted),
	)...)
	must(err)
	defer client.CloseAllowingRebalance()
	var deadline time.Time
	for !c.exists("processed") && (deadline.IsZero() || time.Now().Before(deadline)) {
		if deadline.IsZero() && c.exists("stop") {
			deadline = time.Now().Add(finishMax)
		}
		fetches := client.PollFetches(within(200 * time.Millisecond))
		fetches.EachPartition(func(part kgo.FetchTopicPartition) { c.process(client, part) })
		client.AllowRebalance()
	}
}

func (c *clusterClient) at(partition int32, offset int64) event {
	return event{"group": c.settings.Group, "topic": c.settings.Topic, "partition": partition, "offset": offset}
}

func (c *clusterClient) process(client *kgo.Client, part kgo.FetchTopicPartition) {
	if len(part.Records) == 0 {
		return
	}
	for _, record := range part.Records {
		c.write("processed", c.at(part.Partition, record.Offset))
	}
	// Before the commit, so that a member that is killed between the two has only processed too much.
	c.flush()
	last := part.Records[len(part.Records)-1]
	// Unknown outcome, or a rebalance: whoever gets the partition goes on from an earlier commit.
	if client.CommitRecords(within(10*time.Second), last) == nil {
		c.write("committed", c.at(part.Partition, last.Offset+1))
	}
}

// noteCommitted writes down what the broker says the group goes on from, when it gives the partitions to this member.
func (c *clusterClient) noteCommitted(_ context.Context, client *kgo.Client, assigned map[string][]int32) {
	asked := monotonic()
	found, err := kadm.NewClient(client).FetchOffsets(within(5*time.Second), c.settings.Group)
	if err != nil || errors.Is(found.Error(), context.DeadlineExceeded) {
		return
	}
	for _, partition := range assigned[c.settings.Topic] {
		if offset, ok := found.Lookup(c.settings.Topic, partition); ok && offset.Err == nil && offset.At >= 0 {
			fields := c.at(partition, offset.At)
			fields["asked"] = asked
			c.write("found-committed", fields)
		}
	}
}
