package invoke

import "outcrop/fault"

// Blame is err, a call's, as an API tells it that knows no errors of a model, only of its server: what the model's own server has
// refused for what the request says is the request's fault. As the server's, which Bedrock's ModelErrorException is, clients
// would send it again.
func Blame(err error) error {
	if ft := fault.From(err); ft.Kind == fault.ModelError {
		switch ft.OriginalStatus {
		case 400, 413, 422:
			return fault.Wrap(err, fault.Validation, "%s", ft.Message)
		}
	}
	return err
}
