package server

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// The words of ASP.NET Core's health checks.
const (
	healthy   = "Healthy"
	degraded  = "Degraded"
	unhealthy = "Unhealthy"
)

// health is the answer of every health path. It holds nothing of any key.
type health struct {
	Status    string         `json:"status"`
	Reasons   []string       `json:"reasons,omitempty"`
	Hubs      map[string]hub `json:"hubs,omitempty"`
	Backplane *backplane     `json:"backplane,omitempty"`
}

type hub struct {
	Connections int `json:"connections"`
}

type backplane struct {
	Kind   string `json:"kind"`
	Status string `json:"status"`
	// LatencyMs is how many milliseconds its answer takes; left out: it does
	// not answer.
	LatencyMs *float64 `json:"latencyMs,omitempty"`
}

// liveness is 200 as long as the process answers.
func (s *Server) liveness() http.Handler {
	return probe(func(*http.Request) (int, health) { return http.StatusOK, health{Status: healthy} })
}

// readiness is 503 without the database, and while the server stops.
func (s *Server) readiness() http.Handler {
	return probe(func(r *http.Request) (int, health) {
		var reasons []string
		if s.draining.Load() {
			reasons = append(reasons, "The server is stopping.")
		}
		if !s.databaseAnswers(r.Context()) {
			reasons = append(reasons, noDatabase)
		}
		if len(reasons) > 0 {
			return http.StatusServiceUnavailable, health{Status: unhealthy, Reasons: reasons}
		}
		return http.StatusOK, health{Status: healthy}
	})
}

const noDatabase = "The database does not answer."

// signalRHealth is always 200: clients stay connected while something is
// degraded, so a load balancer must not take the server out for it.
func (s *Server) signalRHealth() http.Handler {
	return probe(func(r *http.Request) (int, health) {
		h := health{Status: healthy, Hubs: map[string]hub{}}
		for _, x := range s.hubs.All() {
			h.Hubs["/hubs/"+x.Name()] = hub{Connections: x.Count()}
		}
		if s.redis != nil {
			h.Backplane = &backplane{Kind: "redis", Status: degraded}
			if latency, err := s.redis.look(r.Context()); err != nil {
				h.Reasons = append(h.Reasons, "Redis does not answer.")
				s.log.DebugContext(r.Context(), "Redis does not answer", "error", err)
			} else {
				ms := float64(latency.Microseconds()) / 1000
				h.Backplane.LatencyMs = &ms
			}
			h.Reasons = append(h.Reasons, "Redis is configured but not used: this build has no Redis backplane yet, so events reach the clients of this instance only.")
		}
		if !s.databaseAnswers(r.Context()) {
			h.Reasons = append(h.Reasons, noDatabase)
		}
		if s.draining.Load() {
			h.Reasons = append(h.Reasons, "The server is stopping.")
		}
		if len(h.Reasons) > 0 {
			h.Status = degraded
		}
		return http.StatusOK, h
	})
}

func (s *Server) databaseAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return s.store.Ping(ctx) == nil
}

func probe(look func(*http.Request) (int, health)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		status, body := look(r)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		// A client that is gone is no error of ours.
		_ = json.NewEncoder(w).Encode(body)
	})
}
