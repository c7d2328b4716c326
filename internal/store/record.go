package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/knnlabs/conduit/internal/task"
)

// row is what a query gives one row of.
type row interface{ Scan(dest ...any) error }

const recordColumns = `id, request, state, sequence, attempt, progress, progress_source, message,
	current_frame, total_frames, queue_position, outputs, failure, intent, provider_task_id,
	failures, losses, owner, lease_until, queue_at, parked, tidy_at,
	created_at, started_at, updated_at, completed_at, deadline_at, estimated_end`

func scanRecord(r row) (task.Record, error) {
	var (
		rec                                               task.Record
		request                                           []byte
		outputs, failure                                  []byte
		position                                          sql.NullInt64
		lease, queueAt, tidyAt, created, started, updated sql.NullInt64
		completed, deadline, estimated                    sql.NullInt64
	)
	err := r.Scan(&rec.ID, &request, &rec.State, &rec.Sequence, &rec.Attempt, &rec.Progress, &rec.ProgressSource, &rec.Message,
		&rec.CurrentFrame, &rec.TotalFrames, &position, &outputs, &failure, &rec.Intent, &rec.ProviderTaskID,
		&rec.Failures, &rec.Losses, &rec.Owner, &lease, &queueAt, &rec.Parked, &tidyAt,
		&created, &started, &updated, &completed, &deadline, &estimated)
	if err != nil {
		return task.Record{}, err
	}
	if err := json.Unmarshal(request, &rec.Request); err != nil {
		return task.Record{}, fmt.Errorf("store: request of %s: %w", rec.ID, err)
	}
	if outputs != nil {
		if err := json.Unmarshal(outputs, &rec.Outputs); err != nil {
			return task.Record{}, fmt.Errorf("store: outputs of %s: %w", rec.ID, err)
		}
	}
	if failure != nil {
		if err := json.Unmarshal(failure, &rec.Failure); err != nil {
			return task.Record{}, fmt.Errorf("store: failure of %s: %w", rec.ID, err)
		}
	}
	if position.Valid {
		n := int(position.Int64)
		rec.QueuePosition = &n
	}
	rec.LeaseUntil = timeOf(lease)
	rec.QueueAt, rec.TidyAt = timePtr(queueAt), timePtr(tidyAt)
	rec.CreatedAt, rec.UpdatedAt, rec.DeadlineAt = timeOf(created), timeOf(updated), timeOf(deadline)
	rec.StartedAt, rec.CompletedAt, rec.EstimatedEnd = timePtr(started), timePtr(completed), timePtr(estimated)
	return rec, nil
}

// mutable are the columns that a change writes, in the order of changing.
const mutable = `state = ?, sequence = ?, attempt = ?, progress = ?, progress_source = ?, message = ?,
	current_frame = ?, total_frames = ?, queue_position = ?, outputs = ?, failure = ?, intent = ?, provider_task_id = ?,
	failures = ?, losses = ?, owner = ?, lease_until = ?, queue_at = ?, parked = ?, tidy_at = ?,
	started_at = ?, updated_at = ?, completed_at = ?, estimated_end = ?`

func changing(r task.Record) ([]any, error) {
	outputs, err := optional(r.Outputs, r.Outputs == nil)
	if err != nil {
		return nil, err
	}
	failure, err := optional(r.Failure, r.Failure == nil)
	if err != nil {
		return nil, err
	}
	return []any{
		r.State, r.Sequence, r.Attempt, r.Progress, r.ProgressSource, r.Message,
		r.CurrentFrame, r.TotalFrames, r.QueuePosition, outputs, failure, r.Intent, r.ProviderTaskID,
		r.Failures, r.Losses, r.Owner, stamp(r.LeaseUntil), stampOf(r.QueueAt), r.Parked, stampOf(r.TidyAt),
		stampOf(r.StartedAt), stamp(r.UpdatedAt), stampOf(r.CompletedAt), stampOf(r.EstimatedEnd),
	}, nil
}

// optional is v as JSON text, or NULL.
func optional(v any, none bool) (any, error) {
	if none {
		return nil, nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

// detail is what an event's row keeps as JSON beside its columns.
type detail struct {
	Kind           task.Kind     `json:"kind"`
	Progress       int           `json:"progress,omitempty"`
	ProgressSource string        `json:"source,omitempty"`
	Message        string        `json:"message,omitempty"`
	CurrentFrame   int           `json:"frame,omitempty"`
	TotalFrames    int           `json:"frames,omitempty"`
	QueuePosition  *int          `json:"position,omitempty"`
	Model          string        `json:"model,omitempty"`
	Outputs        []task.Output `json:"outputs,omitempty"`
	Failure        *task.Failure `json:"failure,omitempty"`
	BaseURL        string        `json:"base_url,omitempty"`
}

const eventColumns = "task_id, sequence, attempt, name, at, detail"

func scanEvent(r row) (task.Event, error) {
	var (
		e   task.Event
		at  int64
		raw []byte
		d   detail
	)
	if err := r.Scan(&e.TaskID, &e.Sequence, &e.Attempt, &e.Name, &at, &raw); err != nil {
		return task.Event{}, err
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return task.Event{}, fmt.Errorf("store: event %d of %s: %w", e.Sequence, e.TaskID, err)
	}
	e.At = time.UnixMicro(at).UTC()
	e.Kind = d.Kind
	e.Progress, e.ProgressSource, e.Message = d.Progress, d.ProgressSource, d.Message
	e.CurrentFrame, e.TotalFrames, e.QueuePosition = d.CurrentFrame, d.TotalFrames, d.QueuePosition
	e.Model, e.Outputs, e.Failure, e.BaseURL = d.Model, d.Outputs, d.Failure, d.BaseURL
	return e, nil
}

func eventValues(e task.Event) ([]any, error) {
	b, err := json.Marshal(detail{
		Kind: e.Kind, Progress: e.Progress, ProgressSource: e.ProgressSource, Message: e.Message,
		CurrentFrame: e.CurrentFrame, TotalFrames: e.TotalFrames, QueuePosition: e.QueuePosition,
		Model: e.Model, Outputs: e.Outputs, Failure: e.Failure, BaseURL: e.BaseURL,
	})
	if err != nil {
		return nil, err
	}
	return []any{e.TaskID, e.Sequence, e.Attempt, e.Name, stamp(e.At), string(b)}, nil
}
