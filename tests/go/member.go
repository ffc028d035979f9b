package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// memberOfMixedGroup joins a group of several languages. It prints "assigned 0 1 2" after each rebalance and
// "record VALUE" for each record, commits after each poll, and ends when a line of input comes.
func memberOfMixedGroup(topic, group string) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		bufio.NewReader(os.Stdin).ReadString('\n')
		cancel()
	}()
	c := client(
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.Balancers(kgo.RangeBalancer()), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(300*time.Millisecond), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { printAssigned(parts[topic]) }),
		kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) { printAssigned(nil) }),
		kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) { printAssigned(nil) }),
	)
	defer c.CloseAllowingRebalance()
	for ctx.Err() == nil {
		fetches := c.PollFetches(ctx)
		fetches.EachRecord(func(record *kgo.Record) { fmt.Println("record", string(record.Value)) })
		if fetches.NumRecords() > 0 {
			commit(c)
		}
		c.AllowRebalance()
	}
}

func commit(c *kgo.Client) {
	err := c.CommitUncommittedOffsets(within(10 * time.Second))
	if !errors.Is(err, kerr.RebalanceInProgress) && !errors.Is(err, kerr.IllegalGeneration) {
		must(err)
	}
}

func printAssigned(partitions []int32) {
	partitions = slices.Sorted(slices.Values(partitions))
	fmt.Println("assigned", strings.Trim(fmt.Sprint(partitions), "[]"))
}
