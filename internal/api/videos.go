package api

import (
	"net/http"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

// A task of another kind is not found under /v1/videos/generations.

func (h *Handler) createVideo(w http.ResponseWriter, r *http.Request) error {
	return h.create(w, r, provider.Video)
}

func (h *Handler) getVideo(w http.ResponseWriter, r *http.Request) error {
	return h.status(w, r, task.Video)
}

// deleteVideo cancels (rest-api C.4): 204 also when it was cancelled before.
func (h *Handler) deleteVideo(w http.ResponseWriter, r *http.Request) error {
	return h.delete(w, r, task.Video)
}

// retryVideo makes a new task of one that did not succeed.
func (h *Handler) retryVideo(w http.ResponseWriter, r *http.Request) error {
	return h.retry(w, r, task.Video)
}
