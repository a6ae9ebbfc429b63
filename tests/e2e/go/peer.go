// SPDX-License-Identifier: Apache-2.0

// peer is the other half of test_interop.py: containerd's own ttrpc, with the command line and the methods of
// tests/e2e/ttrpc-peer.c, whose head explains both.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const serviceName = "netmon.test.Peer"

// raw is a message that is its own encoding: what is sent is looked at byte by byte.
type raw struct{ data []byte }

func (r *raw) Reset()                      { r.data = nil }
func (r *raw) String() string              { return string(r.data) }
func (r *raw) ProtoMessage()               {}
func (r *raw) Marshal() ([]byte, error)    { return r.data, nil }
func (r *raw) Unmarshal(data []byte) error { r.data = append([]byte(nil), data...); return nil }

// ---- server ----

// gate keeps calls of Hold until there is a call of Release.
type gate struct {
	lock  sync.Mutex
	calls []chan struct{}
}

// hold waits even when the caller does not any more: the answer comes late then.
func (g *gate) hold() {
	released := make(chan struct{})
	g.lock.Lock()
	g.calls = append(g.calls, released)
	g.lock.Unlock()
	<-released
}

func (g *gate) release() int {
	g.lock.Lock()
	defer g.lock.Unlock()
	count := len(g.calls)
	for _, released := range g.calls {
		close(released)
	}
	g.calls = nil
	return count
}

type handler func(ctx context.Context, data []byte) ([]byte, error)

func method(h handler) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
		var request raw
		if err := unmarshal(&request); err != nil {
			return nil, err
		}
		answer, err := h(ctx, request.data)
		if err != nil {
			return nil, err
		}
		return &raw{answer}, nil
	}
}

func deadline(ctx context.Context, _ []byte) ([]byte, error) {
	until, ok := ctx.Deadline()
	if !ok {
		return []byte("0"), nil
	}
	return []byte(strconv.FormatInt(time.Until(until).Nanoseconds(), 10)), nil
}

func fail(_ context.Context, data []byte) ([]byte, error) {
	code, message, _ := strings.Cut(string(data), ":")
	number, err := strconv.Atoi(code)
	if err != nil {
		return nil, err
	}
	return nil, status.Error(codes.Code(number), message)
}

func grow(_ context.Context, data []byte) ([]byte, error) {
	size, err := strconv.Atoi(string(data))
	return make([]byte, size), err
}

func serve(path string) error {
	var g gate
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	server.Register(serviceName, map[string]ttrpc.Method{
		"Deadline": method(deadline),
		"Echo":     method(func(_ context.Context, data []byte) ([]byte, error) { return data, nil }),
		"Fail":     method(fail),
		"Grow":     method(grow),
		"Hold":     method(func(_ context.Context, data []byte) ([]byte, error) { g.hold(); return data, nil }),
		"Release": method(func(context.Context, []byte) ([]byte, error) {
			return []byte(strconv.Itoa(g.release())), nil
		}),
	})
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	return server.Serve(context.Background(), listener)
}

// ---- client ----

func describe(data []byte) string {
	if len(data) <= 64 {
		return fmt.Sprintf("%d %x", len(data), data)
	}
	sum := fnv.New64a()
	_, _ = sum.Write(data)
	return fmt.Sprintf("%d fnv:%016x", len(data), sum.Sum64())
}

func outcome(answer []byte, err error) string {
	if err == nil {
		return "ok " + describe(answer)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	if errors.Is(err, ttrpc.ErrClosed) {
		return "lost"
	}
	if s, ok := status.FromError(err); ok {
		return fmt.Sprintf("code-%d %s", s.Code(), s.Message())
	}
	return "error " + err.Error()
}

// payload is "=TEXT" or a number of bytes.
func payload(text string) []byte {
	if strings.HasPrefix(text, "=") {
		return []byte(text[1:])
	}
	size, _ := strconv.Atoi(text)
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * 7)
	}
	return data
}

func withMetadata(ctx context.Context, pairs string) context.Context {
	values := ttrpc.MD{}
	count, _ := strconv.Atoi(pairs)
	for i := 0; i < count; i++ {
		values.Set(fmt.Sprintf("key-%d", i), fmt.Sprintf("value-%d", i))
	}
	return ttrpc.WithMetadata(ctx, values)
}

func call(client *ttrpc.Client, words []string) string {
	ctx := context.Background()
	if msec, _ := strconv.Atoi(words[3]); msec > 0 {
		timed, cancel := context.WithTimeout(ctx, time.Duration(msec)*time.Millisecond)
		defer cancel()
		ctx = timed
	}
	if len(words) > 5 {
		ctx = withMetadata(ctx, words[5])
	}
	var answer raw
	err := client.Call(ctx, words[1], words[2], &raw{payload(words[4])}, &answer)
	return outcome(answer.data, err)
}

func converse(path string) error {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	client := ttrpc.NewClient(conn)
	fmt.Println("connected")
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		go func() { fmt.Println(words[0], call(client, words)) }()
	}
	return lines.Err()
}

func main() {
	var err error
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		err = serve(os.Args[2])
	} else if len(os.Args) == 3 && os.Args[1] == "call" {
		err = converse(os.Args[2])
	} else {
		err = errors.New("usage: peer serve|call PATH")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
