// A story told by franz-go: every codec, replay, seek by time, a group of three with rebalances.
//
// Prints facts, one per line with tabs: what was written, what was read in which phase, who held how many
// partitions, what was committed. The test that started this compares them; nothing is judged here.
// Run: go run . BOOTSTRAP TOPIC
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	timeOfRecord0 = 1_700_000_000_000
	partitions    = 6
)

var (
	bootstrap, topic string
	written          int64
	printing         sync.Mutex
	ctx              = context.Background()
)

func tell(fact ...any) {
	printing.Lock()
	defer printing.Unlock()
	for at, word := range fact {
		if at > 0 {
			fmt.Print("\t")
		}
		fmt.Print(word)
	}
	fmt.Println()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func client(more ...kgo.Opt) *kgo.Client {
	opts := []kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.FetchMaxWait(20 * time.Millisecond)}
	made, err := kgo.NewClient(append(opts, more...)...)
	must(err)
	return made
}

// Writes the next numbered records, the number as value and half of the key, one second apart.
func write(name string, codec kgo.CompressionCodec, count int64) {
	producer := client(kgo.ProducerBatchCompression(codec))
	defer producer.Close()
	for end := written + count; written < end; written++ {
		value := fmt.Sprint(written)
		record := &kgo.Record{Topic: topic, Key: []byte("key " + value), Value: []byte(value)}
		record.Timestamp = time.UnixMilli(timeOfRecord0 + written*1000)
		producer.Produce(ctx, record, func(record *kgo.Record, err error) {
			must(err)
			tell("wrote", name, record.Partition, record.Offset, record.Timestamp.UnixMilli(), string(record.Value))
		})
	}
	must(producer.Flush(ctx))
}

func read(phase string, record *kgo.Record) {
	tell("read", phase, record.Partition, record.Offset, record.Timestamp.UnixMilli(), string(record.Value))
}

// From these offsets to where the partitions end now.
func readToEnd(phase string, reader *kgo.Client, positions map[int32]int64) {
	ends, err := kadm.NewClient(reader).ListEndOffsets(ctx, topic)
	must(err)
	behind := func() bool {
		for partition, position := range positions {
			end, _ := ends.Lookup(topic, partition)
			if position < end.Offset {
				return true
			}
		}
		return false
	}
	for behind() {
		fetches := reader.PollFetches(ctx)
		must(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			read(phase, record)
			positions[record.Partition] = record.Offset + 1
		})
	}
}

func everyPartition(offset func(partition int32) kgo.Offset) map[string]map[int32]kgo.Offset {
	offsets := map[int32]kgo.Offset{}
	for partition := range int32(partitions) {
		offsets[partition] = offset(partition)
	}
	return map[string]map[int32]kgo.Offset{topic: offsets}
}

func zeros() map[int32]int64 {
	positions := map[int32]int64{}
	for partition := range int32(partitions) {
		positions[partition] = 0
	}
	return positions
}

func replay() {
	reader := client(kgo.ConsumePartitions(everyPartition(func(int32) kgo.Offset { return kgo.NewOffset().AtStart() })))
	defer reader.Close()
	readToEnd("replay", reader, zeros())
}

func readFromTime(at int64) {
	reader := client(kgo.ConsumePartitions(everyPartition(func(int32) kgo.Offset { return kgo.NewOffset().AfterMilli(at) })))
	defer reader.Close()
	found, err := kadm.NewClient(reader).ListOffsetsAfterMilli(ctx, at, topic)
	must(err)
	positions := map[int32]int64{}
	found.Each(func(place kadm.ListedOffset) { positions[place.Partition] = place.Offset })
	readToEnd("time", reader, positions)
}

// One member: reads, and commits what it has read when it gives partitions up.
type member struct {
	phase, name string
	reader      *kgo.Client
	total       *atomic.Int64
	held        atomic.Int64
	leaving     context.CancelFunc
	left        chan struct{}
}

func join(phase string, balancer kgo.GroupBalancer, name string, total *atomic.Int64) *member {
	m := &member{phase: phase, name: name, total: total, left: make(chan struct{})}
	count := func(partitions map[string][]int32) int64 { return int64(len(partitions[topic])) }
	m.reader = client(
		kgo.ConsumerGroup("story-"+phase), kgo.ConsumeTopics(topic), kgo.Balancers(balancer),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.HeartbeatInterval(100*time.Millisecond), kgo.SessionTimeout(10*time.Second),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, given map[string][]int32) {
			tell("held", phase, name, m.held.Add(count(given)))
		}),
		kgo.OnPartitionsRevoked(func(ctx context.Context, reader *kgo.Client, taken map[string][]int32) {
			must(reader.CommitUncommittedOffsets(ctx))
			m.held.Add(-count(taken))
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { m.held.Add(-count(lost)) }),
	)
	poll, cancel := context.WithCancel(ctx)
	m.leaving = cancel
	go func() {
		defer close(m.left)
		for poll.Err() == nil {
			fetches := m.reader.PollRecords(poll, 10)
			fetches.EachRecord(func(record *kgo.Record) {
				read(phase, record)
				total.Add(1)
			})
			m.reader.AllowRebalance()
		}
		m.reader.CloseAllowingRebalance()
	}()
	return m
}

func (m *member) leave() {
	m.leaving()
	<-m.left
}

func groupOfThree(phase string, balancer func() kgo.GroupBalancer) {
	var total atomic.Int64
	var members []*member
	eachHolds := func(count int64) func() bool {
		return func() bool {
			for _, m := range members {
				if m.held.Load() != count {
					return false
				}
			}
			return true
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		members = append(members, join(phase, balancer(), name, &total))
		waitFor(eachHolds(int64(partitions / len(members))))
		write("none", kgo.NoCompression(), 100)
		waitFor(func() bool { return total.Load() == written })
	}
	members[0].leave()
	members = members[1:]
	waitFor(eachHolds(3))
	write("none", kgo.NoCompression(), 100)
	waitFor(func() bool { return total.Load() == written })
	for len(members) > 0 {
		members[0].leave()
		members = members[1:]
		waitFor(eachHolds(int64(partitions / max(len(members), 1))))
	}
	asker := client()
	defer asker.Close()
	committed, err := kadm.NewClient(asker).FetchOffsets(ctx, "story-"+phase)
	must(err)
	committed.Each(func(offset kadm.OffsetResponse) { tell("committed", phase, offset.Partition, offset.At) })
}

func replayInsideOfGroup(phase string) {
	assigned := make(chan struct{}, 1)
	reader := client(kgo.ConsumerGroup("story-"+phase), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { assigned <- struct{}{} }))
	defer reader.Close()
	<-assigned
	start := map[int32]kgo.EpochOffset{}
	for partition := range int32(partitions) {
		start[partition] = kgo.EpochOffset{Epoch: -1, Offset: 0}
	}
	reader.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: start})
	readToEnd("again", reader, zeros())
}

func waitFor(done func() bool) {
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			panic("waited for a minute")
		}
	}
}

func main() {
	bootstrap, topic = os.Args[1], os.Args[2]
	write("none", kgo.NoCompression(), 200)
	write("gzip", kgo.GzipCompression(), 200)
	write("snappy", kgo.SnappyCompression(), 200)
	write("lz4", kgo.Lz4Compression(), 200)
	write("zstd", kgo.ZstdCompression(), 200)
	replay()
	readFromTime(timeOfRecord0 + 499_500)
	groupOfThree("eager", kgo.RangeBalancer)
	groupOfThree("cooperative", kgo.CooperativeStickyBalancer)
	replayInsideOfGroup("eager")
}
