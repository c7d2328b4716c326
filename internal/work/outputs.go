package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/knnlabs/conduit/internal/media"
	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

// fetches is how often a result is fetched before the task fails; it is not
// generated anew (providers.md 8.8, output_unavailable).
const fetches = 5

// keepOutputs copies the provider's results into the media store, under names
// of this attempt alone, so that a worker that lost the task overwrites
// nothing. On failure nothing stays.
func (a *attempt) keepOutputs(ctx context.Context, results []provider.Output) (kept []task.Output, err error) {
	if len(results) == 0 {
		return nil, unavailable("The provider finished without a result.")
	}
	// 100 belongs to Completed alone (providers.md 8.4).
	rec := a.run.Record()
	_, err = a.run.Report(ctx, task.Progress{
		Percent: 99, Source: rec.ProgressSource, Message: "storing", CurrentFrame: rec.CurrentFrame, TotalFrames: rec.TotalFrames,
	})
	if err := a.told(err); err != nil {
		return nil, err
	}
	for _, o := range results {
		out, err := a.keepOutput(ctx, o)
		if err != nil {
			a.dropOutputs(kept)
			return nil, err
		}
		kept = append(kept, out)
	}
	return kept, nil
}

func unavailable(message string) *failed {
	return &failed{task.Failure{Code: "output_unavailable", Message: message, Retryable: true}, false}
}

func (a *attempt) keepOutput(ctx context.Context, o provider.Output) (task.Output, error) {
	key := outputKey(a.rec.ID, a.rec.Attempt, o)
	pause := pauses{next: a.w.o.Pause}
	for try := 1; ; try++ {
		var info media.Info
		err := a.guard("FetchOutput", func() (err error) {
			info, err = a.copyOutput(ctx, key, o)
			return err
		})
		if err == nil {
			return task.Output{
				Index: o.Index, MediaKey: key, ContentType: o.ContentType, Format: o.Format, Codec: o.Codec,
				Bytes: info.Bytes, SHA256: info.SHA256, Width: o.Width, Height: o.Height, FPS: o.FPS, Duration: o.Duration,
			}, nil
		}
		var told *provider.Error
		switch {
		case ctx.Err() != nil:
			return task.Output{}, context.Cause(ctx)
		case errors.Is(err, media.ErrFull):
			a.log.Error("the result could not be stored", "error", err)
			return task.Output{}, &failed{task.Failure{
				Code: "storage_full", Message: "The result could not be stored: the disk is full.", Retryable: true,
			}, false}
		case errors.As(err, &told) && !told.Retryable:
			return task.Output{}, failure(told)
		case try == fetches:
			a.log.Error("the result could not be fetched and stored", "error", err)
			return task.Output{}, unavailable("The result could not be fetched and stored.")
		}
		a.log.Warn("fetching and storing a result failed, trying on", "output", o.Index, "error", err)
		if !pause.wait(ctx) {
			return task.Output{}, context.Cause(ctx)
		}
	}
}

func (a *attempt) copyOutput(ctx context.Context, key string, o provider.Output) (media.Info, error) {
	r, err := a.p.FetchOutput(ctx, a.id, o)
	if err != nil {
		return media.Info{}, err
	}
	info, err := a.w.o.Media.Put(ctx, key, o.ContentType, ending{ctx, r})
	return info, errors.Join(err, r.Close())
}

// ending is a reader that ends with an error when its context does.
type ending struct {
	ctx context.Context
	r   io.Reader
}

func (e ending) Read(p []byte) (int, error) {
	if e.ctx.Err() != nil {
		return 0, context.Cause(e.ctx)
	}
	return e.r.Read(p)
}

func outputKey(id string, attempt int, o provider.Output) string {
	format := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return -1
	}, strings.ToLower(o.Format))
	if format == "" || len(format) > 8 {
		format = "bin"
	}
	return fmt.Sprintf("%s/%d-%d.%s", id, attempt, o.Index, format)
}

// dropOutputs deletes results that belong to no task.
func (a *attempt) dropOutputs(outs []task.Output) {
	for _, o := range outs {
		a.drop(o.MediaKey)
	}
}

// dropEarlier deletes what an earlier attempt may have stored before its
// worker died.
func (a *attempt) dropEarlier(outs []task.Output) {
	for n := 1; n < a.rec.Attempt; n++ {
		for _, o := range outs {
			a.drop(outputKey(a.rec.ID, n, provider.Output{Index: o.Index, Format: o.Format}))
		}
	}
}

func (a *attempt) drop(key string) {
	ctx, cancel := aside(5 * time.Second)
	defer cancel()
	if err := a.w.o.Media.Delete(ctx, key); err != nil && !errors.Is(err, media.ErrNotFound) {
		a.log.Warn("a result that nobody needs could not be deleted", "media", key, "error", err)
	}
}
