package api

import (
	"net/http"
	"time"
)

// AbnormalReport is what was noticed of abnormal connections to this instance.
type AbnormalReport struct {
	Since    time.Time     // when counting began
	Window   time.Duration // limits hold for one
	Patterns []AbnormalPattern
	Subjects []AbnormalSubject // newest window first
}

// AbnormalPattern is a pattern's totals since the report's Since.
type AbnormalPattern struct {
	Pattern  string
	Limit    int // of a key and of an address, within a window
	Total    int64
	Exceeded int64 // how often somebody was above the limit in a window
}

// AbnormalSubject is a key or an address, and what it did within a window.
type AbnormalSubject struct {
	Pattern        string
	KeyID, Address string // one of the two
	Count, Limit   int
	Began, Last    time.Time // the window's begin, and when it was seen last
}

type abnormalView struct {
	Object        string                `json:"object"` // "abnormal"
	Since         time.Time             `json:"since"`
	WindowSeconds int                   `json:"window_seconds"`
	Patterns      []abnormalPatternView `json:"patterns"`
	Data          []abnormalSubjectView `json:"data"`
}

type abnormalPatternView struct {
	Pattern  string `json:"pattern"`
	Limit    int    `json:"limit"`
	Total    int64  `json:"total"`
	Exceeded int64  `json:"exceeded"`
}

type abnormalSubjectView struct {
	Pattern       string    `json:"pattern"`
	KeyID         *string   `json:"key_id"`
	Address       *string   `json:"address"`
	Count         int       `json:"count"`
	Limit         int       `json:"limit"`
	AboveLimit    bool      `json:"above_limit"`
	WindowBeganAt time.Time `json:"window_began_at"`
	LastSeenAt    time.Time `json:"last_seen_at"`
}

// abnormal shows an admin what was noticed.
func (h *Handler) abnormal(w http.ResponseWriter, r *http.Request) error {
	if _, err := wholeKey(r); err != nil {
		return err
	}
	var report AbnormalReport
	if h.o.Abnormal != nil {
		report = h.o.Abnormal()
	}
	v := abnormalView{Object: "abnormal", Since: stamp(report.Since), WindowSeconds: int(report.Window / time.Second),
		Patterns: []abnormalPatternView{}, Data: []abnormalSubjectView{}}
	for _, p := range report.Patterns {
		v.Patterns = append(v.Patterns, abnormalPatternView(p))
	}
	for _, s := range report.Subjects {
		v.Data = append(v.Data, abnormalSubjectView{Pattern: s.Pattern, KeyID: textOrNil(s.KeyID), Address: textOrNil(s.Address),
			Count: s.Count, Limit: s.Limit, AboveLimit: s.Count > s.Limit, WindowBeganAt: stamp(s.Began), LastSeenAt: stamp(s.Last)})
	}
	return writeJSON(w, http.StatusOK, v)
}
