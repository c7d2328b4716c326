package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is one running conduit process.
type server struct {
	cmd   *exec.Cmd
	base  string // http://127.0.0.1:port
	key   string
	dir   string
	ready time.Duration // from exec to the first 200
}

func start(ctx context.Context, binary string) (_ *server, err error) {
	dir, err := os.MkdirTemp("", "conduit-bench-")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s.base = "http://" + addr
	binary, err = filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	s.cmd = exec.Command(binary, "serve")
	s.cmd.Dir = dir
	s.cmd.Env = append(os.Environ(), "Conduit__DataFolder="+filepath.Join(dir, "data"), "Conduit__Urls="+s.base)
	var log bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &log, &log

	begin := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for {
		if ctx.Err() != nil || time.Since(begin) > time.Minute {
			return nil, fmt.Errorf("the server did not start: %s", log.String())
		}
		if resp, err := http.Get(s.base + "/health/ready"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		time.Sleep(time.Millisecond)
	}
	s.ready = time.Since(begin)

	// A key of our own: the first one was printed to somebody else's eyes.
	out, err := s.run(binary, "keys", "create", "--name", "bench", "--scopes", "video,image,navigation")
	if err != nil {
		return nil, fmt.Errorf("keys create: %w: %s", err, out)
	}
	for word := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(word, "condt_") && len(word) >= 40 {
			s.key = word
		}
	}
	if s.key == "" {
		return nil, fmt.Errorf("keys create printed no key: %s", out)
	}
	return s, nil
}

func (s *server) run(binary string, args ...string) ([]byte, error) {
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Env = s.dir, s.cmd.Env
	return cmd.CombinedOutput()
}

func (s *server) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan struct{})
		go func() { _ = s.cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			_ = s.cmd.Process.Kill()
			<-done
		}
	}
	_ = os.RemoveAll(s.dir)
}

// memory reads one line of /proc/PID/status, in MiB.
func (s *server) memory(field string) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, errors.New("no " + field + " in the process's status")
}

// cpu is the processor time that the process has used, in seconds.
func (s *server) cpu() (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, fields, _ := strings.Cut(string(raw), ") ") // the command's name may hold blanks
	f := strings.Fields(fields)
	if len(f) < 13 {
		return 0, errors.New("the process's stat is short")
	}
	user, err1 := strconv.ParseFloat(f[11], 64)
	system, err2 := strconv.ParseFloat(f[12], 64)
	const ticks = 100 // a second, on every Linux
	return (user + system) / ticks, errors.Join(err1, err2)
}

// submit posts one small video and returns its task id.
func (s *server) submit(ctx context.Context, body map[string]any) (string, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/v1/videos/generations/async", bytes.NewReader(raw))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("status %d: %s", resp.StatusCode, answer)
	}
	var task struct {
		TaskID string `json:"task_id"`
	}
	if err := json.Unmarshal(answer, &task); err != nil {
		return "", err
	}
	return task.TaskID, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
