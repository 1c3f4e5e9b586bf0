// SPDX-License-Identifier: Apache-2.0

// peer MEASUREMENT: the hot paths and the page of client_golang, as tests/bench measures ours.
// Prints one figure on its last line; lines before it are other figures of the same run. Ends
// with 3 when it has no such measurement.
package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const values = 65536

var (
	quick = os.Getenv("QUICK") != ""
	times = map[bool]int{false: 20000000, true: 100000}[quick]
	many  = map[bool]int{false: 1000000, true: 10000}[quick]
)

// The generator of tests/bench/bench.h.
type source uint64

func (s *source) random() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (s *source) uniform() float64 {
	return float64(s.random()>>11) / (1 << 53)
}

func (s *source) lognormal() float64 {
	radius := math.Sqrt(-2 * math.Log(1-s.uniform()))
	return 0.1 * math.Exp(1.5*radius*math.Cos(2*math.Pi*s.uniform()))
}

// Nanoseconds of one turn of the loop, with so many goroutines in it.
func perTurn(threads, turns int, loop func(thread, turns int)) float64 {
	var all sync.WaitGroup
	began := time.Now()
	for i := 0; i < threads; i++ {
		all.Add(1)
		go func(thread int) {
			loop(thread, turns)
			all.Done()
		}(i)
	}
	all.Wait()
	return float64(time.Since(began).Nanoseconds()) / float64(turns)
}

func counterInc(threads int) float64 {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "c"})
	return perTurn(threads, times, func(_, turns int) {
		for i := 0; i < turns; i++ {
			c.Inc()
		}
	})
}

func gaugeSet() float64 {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "g"})
	return perTurn(1, times, func(_, turns int) {
		for i := 0; i < turns; i++ {
			g.Set(float64(i))
		}
	})
}

func gaugeAdd() float64 {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "g"})
	return perTurn(1, times, func(_, turns int) {
		for i := 0; i < turns; i++ {
			g.Add(1)
		}
	})
}

func observe(threads int, bounds []float64) float64 {
	var seed source = 1
	observed := make([]float64, values)
	for i := range observed {
		observed[i] = seed.lognormal()
	}
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Buckets: bounds})
	return perTurn(threads, times/4, func(_, turns int) {
		for i := 0; i < turns; i++ {
			h.Observe(observed[i%values])
		}
	})
}

func lookup(threads, children int) float64 {
	var seed source = 1
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "v"},
		[]string{"path", "method"})
	paths := make([]string, children)
	for i := range paths {
		paths[i] = fmt.Sprintf("/api/v1/resource%d", i)
		vec.WithLabelValues(paths[i], "GET")
	}
	keys := make([]string, values)
	for i := range keys {
		keys[i] = paths[seed.random()%uint64(children)]
	}
	return perTurn(threads, times/10, func(_, turns int) {
		for i := 0; i < turns; i++ {
			vec.WithLabelValues(keys[i%values], "GET").Inc()
		}
	})
}

func rss() float64 {
	var pages, resident int64
	text, _ := os.ReadFile("/proc/self/statm")
	fmt.Sscan(string(text), &pages, &resident)
	return float64(resident) * float64(os.Getpagesize())
}

// The counters of tests/bench/client_fill.c: 100 families, 3 + 2 labels.
func fill(series int) *prometheus.Registry {
	var seed source = 1
	registry := prometheus.NewRegistry()
	for f := 0; f < 100; f++ {
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: fmt.Sprintf("dynamo_bench_requests_%03d_total", f), Help: "Requests served.",
			ConstLabels: prometheus.Labels{"namespace": "prod", "component": "backend",
				"endpoint": "generate"}}, []string{"model", "worker_id"})
		registry.MustRegister(vec)
		for i := 0; i < series/100; i++ {
			r := seed.random()
			vec.WithLabelValues(fmt.Sprintf("llama-%d-instruct", i%10),
				fmt.Sprintf("worker-%05d", i/10)).Add(
				float64(r / 7 % uint64(math.Pow10(int(r%7)+1))))
		}
	}
	return registry
}

// Seconds to the first byte and to the last of a page, as a client sees them.
func get(address, more string) (first, total float64, size int64) {
	began := time.Now()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(conn, "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n%s\r\n", more)
	in := bufio.NewReaderSize(conn, 256<<10)
	status, err := in.ReadString('\n')
	if err != nil || !strings.Contains(status, " 200 ") {
		panic("no page: " + status)
	}
	first = time.Since(began).Seconds()
	size, _ = io.Copy(io.Discard, in)
	return first, time.Since(began).Seconds(), size
}

// The second scrape: the first one is of a process that has just been made.
func scrape(gzip bool) float64 {
	registry := fill(many)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, promhttp.HandlerFor(registry,
		promhttp.HandlerOpts{DisableCompression: !gzip}))
	more, name := "", "scrape_first_byte_1m"
	if gzip {
		more, name = "Accept-Encoding: gzip\r\n", "scrape_gzip_first_byte_1m"
	}
	get(listener.Addr().String(), more)
	first, total, size := get(listener.Addr().String(), more)
	fmt.Println(name, first)
	fmt.Fprintln(os.Stderr, "bytes", size)
	if gzip {
		fmt.Println("scrape_gzip_1m", total)
	} else {
		fmt.Println("scrape_1m", total)
	}
	if os.Args[1] == name {
		return first
	}
	return total
}

func bytesPerSeries() float64 {
	runtime.GC()
	before := rss()
	registry := fill(many)
	after := rss()
	runtime.KeepAlive(registry)
	return (after - before) / float64(many)
}

func main() {
	thirty := prometheus.ExponentialBuckets(0.001, 1.4, 30)
	measurements := map[string]func() float64{
		"counter_inc":               func() float64 { return counterInc(1) },
		"counter_inc_2":             func() float64 { return counterInc(2) },
		"gauge_set":                 gaugeSet,
		"gauge_add":                 gaugeAdd,
		"observe_11":                func() float64 { return observe(1, prometheus.DefBuckets) },
		"observe_30":                func() float64 { return observe(1, thirty) },
		"observe_2":                 func() float64 { return observe(2, prometheus.DefBuckets) },
		"lookup_100":                func() float64 { return lookup(1, 100) },
		"lookup_10000":              func() float64 { return lookup(1, 10000) },
		"lookup_2":                  func() float64 { return lookup(2, 100) },
		"scrape_first_byte_1m":      func() float64 { return scrape(false) },
		"scrape_1m":                 func() float64 { return scrape(false) },
		"scrape_gzip_1m":            func() float64 { return scrape(true) },
		"scrape_gzip_first_byte_1m": func() float64 { return scrape(true) },
		"bytes_per_series":          bytesPerSeries,
	}
	if len(os.Args) != 2 || measurements[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "not offered")
		os.Exit(3)
	}
	fmt.Println(measurements[os.Args[1]]())
}
