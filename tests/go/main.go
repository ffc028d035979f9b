// Checks the broker at $BOOTSTRAP with franz-go, which implements the whole protocol on its own in Go.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

type check struct {
	claim string
	body  func()
}

// failure is what a broken claim panics with; anything else that panics is a bug of the checks, and is reported too.
type failure struct{ text string }

func that(holds bool, format string, arguments ...any) {
	if !holds {
		panic(failure{fmt.Sprintf(format, arguments...)})
	}
}

func must(err error) { that(err == nil, "%v", err) }

func eventually(what string, condition func() bool) {
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		that(time.Now().Before(deadline), "%s: not within 30 s", what)
		time.Sleep(50 * time.Millisecond)
	}
}

// holds runs one check and prints one line for it.
func holds(c check) (ok bool) {
	started := time.Now()
	defer func() {
		if problem := recover(); problem != nil {
			if f, is := problem.(failure); is {
				problem = f.text
			}
			fmt.Printf("FAIL %s: %v\n", c.claim, problem)
			return
		}
		ok = true
		fmt.Printf("ok   %s  (%.1f s)\n", c.claim, time.Since(started).Seconds())
	}()
	c.body()
	return
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == "member" {
		memberOfMixedGroup(os.Args[2], os.Args[3])
		return
	}
	if len(os.Args) == 6 && os.Args[1] == "cluster" && os.Args[2] == "both" {
		runClusterClient(os.Args[3], os.Args[4], os.Args[5])
		return
	}
	only := ""
	if len(os.Args) > 1 {
		only = os.Args[1]
	}
	run, held := 0, 0
	for _, c := range append(clientChecks(), groupChecks()...) {
		if !strings.Contains(c.claim, only) {
			continue
		}
		run++
		if holds(c) {
			held++
		}
	}
	fmt.Printf("franz-go: %d of %d checks hold\n", held, run)
	if held < run {
		os.Exit(1)
	}
}
