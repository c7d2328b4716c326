package api

import (
	"net/http"

	"github.com/knnlabs/conduit/internal/provider"
	"github.com/knnlabs/conduit/internal/task"
)

// A task of another kind is not found under /v1/images/generations.

func (h *Handler) createImage(w http.ResponseWriter, r *http.Request) error {
	return h.create(w, r, provider.Image)
}

func (h *Handler) getImage(w http.ResponseWriter, r *http.Request) error {
	return h.status(w, r, task.Image)
}

// deleteImage cancels, as deleteVideo does.
func (h *Handler) deleteImage(w http.ResponseWriter, r *http.Request) error {
	return h.delete(w, r, task.Image)
}

// retryImage makes a new task of one that did not succeed.
func (h *Handler) retryImage(w http.ResponseWriter, r *http.Request) error {
	return h.retry(w, r, task.Image)
}
