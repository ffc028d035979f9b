package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func groupChecks() []check {
	return []check{
		{"members share a topic: range", func() { shareTopic(kgo.RangeBalancer()) }},
		{"members share a topic: round robin", func() { shareTopic(kgo.RoundRobinBalancer()) }},
		{"members share a topic: cooperative sticky", func() { shareTopic(kgo.CooperativeStickyBalancer()) }},
		{"a group goes on from its commit", goesOn},
	}
}

// member is a group member that polls in a goroutine of its own and commits after each poll.
type member struct {
	client *kgo.Client
	done   chan struct{}
	mutex  sync.Mutex
	parts  map[int32]bool
	read   int
}

func join(topic, group string, balancer kgo.GroupBalancer) *member {
	m := &member{done: make(chan struct{}), parts: map[int32]bool{}}
	m.client = client(
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.Balancers(balancer), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(200*time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { m.change(parts[topic], true) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { m.change(parts[topic], false) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { m.change(parts[topic], false) }),
	)
	go m.run()
	return m
}

func (m *member) change(partitions []int32, assigned bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for _, partition := range partitions {
		if assigned {
			m.parts[partition] = true
		} else {
			delete(m.parts, partition)
		}
	}
}

func (m *member) run() {
	defer close(m.done)
	for {
		fetches := m.client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		m.mutex.Lock()
		m.read += fetches.NumRecords()
		m.mutex.Unlock()
		err := m.client.CommitUncommittedOffsets(within(10 * time.Second))
		rebalancing := errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, context.Canceled)
		if !rebalancing {
			must(err)
		}
	}
}

func (m *member) partitions() int {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return len(m.parts)
}

func (m *member) records() int {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.read
}

func (m *member) leave() {
	m.client.Close()
	<-m.done
}

func shareTopic(balancer kgo.GroupBalancer) {
	topic, group := newTopic(4), name("group")
	first := join(topic, group, balancer)
	eventually("one member has all", func() bool { return first.partitions() == 4 })
	second := join(topic, group, balancer)
	eventually("two members share", func() bool { return first.partitions() == 2 && second.partitions() == 2 })
	fill(topic, 100)
	eventually("every record is read", func() bool { return first.records()+second.records() == 100 })
	second.leave()
	eventually("the one that is left has all", func() bool { return first.partitions() == 4 })
	first.leave()
}

func goesOn() {
	topic, group := newTopic(1), name("commit")
	fill(topic, 100)
	options := []kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	first := client(options...)
	records := take(first, 100)
	must(first.CommitRecords(within(20*time.Second), records[39]))
	first.Close()
	second := client(options...)
	defer second.Close()
	that(take(second, 60)[0].Offset == 40, "the group did not go on from offset 40")
}
