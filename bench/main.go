// Command bench measures a Conduit binary as a whole process, from outside:
// how soon it accepts requests, what it costs when idle, how long a prompt
// takes to the first event at a watcher, what many watchers of many tasks
// receive, and how fast it renders. It builds the binary, starts and stops it
// itself, on a data folder of its own.
//
//	cd bench && go run .
//
// Every figure is the median of -runs runs; the counts of the crowd (events
// out of order, ends missing) are sums over all runs and have to be zero.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

func main() {
	binary := flag.String("binary", "", "path of the conduit binary; left out, it is built from this checkout")
	runs := flag.Int("runs", 5, "runs per figure")
	tasks := flag.Int("tasks", 100, "tasks of the crowd")
	conns := flag.Int("conns", 100, "connections of the crowd, each subscribed to every task")
	asJSON := flag.Bool("json", false, "print the figures as JSON")
	flag.Parse()
	f, err := run(*binary, *runs, *tasks, *conns)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
	f.print(*asJSON)
	if f.outOfOrder > 0 || f.missingEnds > 0 || f.extraEnds > 0 {
		os.Exit(1)
	}
}

func run(binary string, runs, tasks, conns int) (*figures, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	if binary == "" {
		dir, err := os.MkdirTemp("", "conduit-bench-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "conduit")
		build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/conduit")
		build.Dir = ".."
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build: %w: %s", err, out)
		}
	}
	var f figures
	for n := range runs {
		if err := f.measure(ctx, binary, tasks, conns); err != nil {
			return nil, fmt.Errorf("run %d: %w", n+1, err)
		}
		fmt.Fprintf(os.Stderr, "run %d of %d done\n", n+1, runs)
	}
	return &f, nil
}

// figures collects one value per run.
type figures struct {
	startToRequest  []float64 // ms, from exec to the first request answered 200
	idleRSS         []float64 // MiB, five seconds after start
	postToEvent     []float64 // ms, from sending the POST to the first Progress at a subscribed client
	postToRunning   []float64 // ms, the same to the first Progress that a renderer caused
	crowdEvents     []float64 // events delivered to all watchers
	crowdSeconds    []float64 // from the first POST to the last end at the last watcher
	crowdPeakRSS    []float64 // MiB, the process's own high-water mark
	framesOfOne     []float64 // a second, 640x360, one film alone
	framesOfAll     []float64 // a second, 640x360, a film of each kind of picture at once
	framesOfCPU     []float64 // a second of processor time, of the same
	outOfOrder      int
	missingEnds     int
	extraEnds       int
	watchers, tasks int
}

func (f *figures) measure(ctx context.Context, binary string, tasks, conns int) error {
	s, err := start(ctx, binary)
	if err != nil {
		return err
	}
	defer s.stop()
	f.startToRequest = append(f.startToRequest, ms(s.ready))
	time.Sleep(5 * time.Second) // lets start-up work end: this is a measurement, not a test
	rss, err := s.memory("VmRSS")
	if err != nil {
		return err
	}
	f.idleRSS = append(f.idleRSS, rss)

	first, running, err := s.postToProgress(ctx)
	if err != nil {
		return fmt.Errorf("POST to Progress: %w", err)
	}
	f.postToEvent = append(f.postToEvent, ms(first))
	f.postToRunning = append(f.postToRunning, ms(running))

	c, err := s.crowd(ctx, tasks, conns)
	if err != nil {
		return fmt.Errorf("crowd: %w", err)
	}
	f.tasks, f.watchers = tasks, conns
	f.crowdEvents = append(f.crowdEvents, float64(c.events))
	f.crowdSeconds = append(f.crowdSeconds, c.took.Seconds())
	f.outOfOrder += c.outOfOrder
	f.missingEnds += c.missingEnds
	f.extraEnds += c.extraEnds
	peak, err := s.memory("VmHWM")
	if err != nil {
		return err
	}
	f.crowdPeakRSS = append(f.crowdPeakRSS, peak)

	one, err := s.films(ctx, "a paper boat")
	if err != nil {
		return fmt.Errorf("a film: %w", err)
	}
	f.framesOfOne = append(f.framesOfOne, one)
	kinds := []string{"a paper boat", "a mountain", "tokyo", "silk", "space", "a gem"}
	before, err := s.cpu()
	if err != nil {
		return err
	}
	all, err := s.films(ctx, kinds...)
	if err != nil {
		return fmt.Errorf("films: %w", err)
	}
	after, err := s.cpu()
	if err != nil {
		return err
	}
	f.framesOfAll = append(f.framesOfAll, all)
	f.framesOfCPU = append(f.framesOfCPU, float64(len(kinds)*filmFrames)/(after-before))
	return nil
}

func (f *figures) print(asJSON bool) {
	rows := []struct {
		Name   string  `json:"name"`
		Unit   string  `json:"unit"`
		Min    float64 `json:"min"`
		Median float64 `json:"median"`
		Max    float64 `json:"max"`
		values []float64
	}{
		{Name: "start to first accepted request", Unit: "ms", values: f.startToRequest},
		{Name: "memory when idle", Unit: "MiB", values: f.idleRSS},
		{Name: "POST to first Progress at a subscribed client", Unit: "ms", values: f.postToEvent},
		{Name: "POST to first Progress of the renderer", Unit: "ms", values: f.postToRunning},
		{Name: "crowd: events delivered", Unit: "", values: f.crowdEvents},
		{Name: "crowd: first POST to last end", Unit: "s", values: f.crowdSeconds},
		{Name: "crowd: memory at its highest", Unit: "MiB", values: f.crowdPeakRSS},
		{Name: "frames rendered at 640x360, one film", Unit: "/s", values: f.framesOfOne},
		{Name: "frames rendered at 640x360, on all cores", Unit: "/s", values: f.framesOfAll},
		{Name: "frames rendered at 640x360, of a core", Unit: "/s of CPU", values: f.framesOfCPU},
	}
	for i := range rows {
		slices.Sort(rows[i].values)
		n := len(rows[i].values)
		rows[i].Min, rows[i].Median, rows[i].Max = rows[i].values[0], rows[i].values[n/2], rows[i].values[n-1]
	}
	if asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
			"go": runtime.Version(), "cpus": runtime.NumCPU(), "figures": rows, "tasks": f.tasks, "connections": f.watchers,
			"out_of_order": f.outOfOrder, "missing_ends": f.missingEnds, "extra_ends": f.extraEnds,
		})
		return
	}
	fmt.Printf("%s, %d CPUs, %d runs, crowd of %d tasks and %d connections\n", runtime.Version(), runtime.NumCPU(), len(f.idleRSS), f.tasks, f.watchers)
	fmt.Printf("%-48s %10s %10s %10s\n", "", "min", "median", "max")
	for _, r := range rows {
		fmt.Printf("%-48s %10.1f %10.1f %10.1f %s\n", r.Name, r.Min, r.Median, r.Max, r.Unit)
	}
	fmt.Printf("%-48s %10d\n%-48s %10d\n%-48s %10d\n", "crowd: events out of order", f.outOfOrder, "crowd: ends missing", f.missingEnds, "crowd: ends too many", f.extraEnds)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
