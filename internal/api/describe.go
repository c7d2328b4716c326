package api

import (
	"reflect"

	"github.com/knnlabs/conduit/internal/provider"
)

// Description is what the REST surface sends and takes, for generators of
// client code.
type Description struct {
	Requests []RequestDescription
	Answers  []AnswerDescription
}

// RequestDescription is the body of a request that creates a task.
type RequestDescription struct {
	Kind   provider.Kind
	Fields []FieldDescription
}

// FieldDescription is a field of a request. All but "prompt" may be left out.
type FieldDescription struct {
	Name string
	Type reflect.Kind // String or Int
	Doc  string       // what it means, units and limits included
}

// AnswerDescription is a type of answers, under the name that clients may give
// to it.
type AnswerDescription struct {
	Name string
	Type reflect.Type
}

// Describe lists what the REST surface sends and takes.
func Describe() Description {
	var d Description
	for _, kind := range []provider.Kind{provider.Video, provider.Image} {
		r := RequestDescription{Kind: kind}
		for _, name := range fieldsOf(kind) {
			f := fieldDocs[name]
			f.Name = name
			r.Fields = append(r.Fields, f)
		}
		d.Requests = append(d.Requests, r)
	}
	d.Answers = []AnswerDescription{
		{"AcceptedTask", reflect.TypeFor[acceptedView]()},
		{"Task", reflect.TypeFor[taskView]()},
		{"TaskErrorDetail", reflect.TypeFor[errorDetail]()},
		{"TaskResult", reflect.TypeFor[resultView]()},
		{"ResultItem", reflect.TypeFor[resultItem]()},
		{"ResultMetadata", reflect.TypeFor[resultMetadata]()},
		{"ResultUsage", reflect.TypeFor[resultUsage]()},
		{"Model", reflect.TypeFor[modelView]()},
		{"ModelCapabilities", reflect.TypeFor[modelConduit]()},
		{"SizeLimits", reflect.TypeFor[sizeView]()},
		{"NumberLimits", reflect.TypeFor[rangeView]()},
	}
	return d
}

// fieldDocs says of every field of fieldsOf what it is.
var fieldDocs = map[string]FieldDescription{
	"prompt":          {Type: reflect.String, Doc: "What to make; at most 32,000 characters."},
	"model":           {Type: reflect.String, Doc: "An id of the models; left out: the default of its kind."},
	"size":            {Type: reflect.String, Doc: "WIDTHxHEIGHT in pixels, such as 1280x720; left out: the model's."},
	"duration":        {Type: reflect.Int, Doc: "Seconds, 1 to 60; left out: the model's."},
	"fps":             {Type: reflect.Int, Doc: "Frames a second, 1 to 120; left out: the model's."},
	"seed":            {Type: reflect.Int, Doc: "The same seed and fields make the same result; left out: random, and told."},
	"n":               {Type: reflect.Int, Doc: "How many; left out: 1. More than 1 for images only."},
	"quality":         {Type: reflect.String, Doc: "\"auto\" or \"standard\", which are what the models have; images only."},
	"operation":       {Type: reflect.String, Doc: "\"generate\"; images only."},
	"response_format": {Type: reflect.String, Doc: "How results come: \"url\", which is the default."},
	"user":            {Type: reflect.String, Doc: "A name of your own for whom it is made; at most 256 characters, kept and never interpreted."},
	"timeout_seconds": {Type: reflect.Int, Doc: "The task ends as timed out after this many seconds, 1 to 3600; only ever lowers the default."},
}
