"""Several processes train one model: data, fully sharded, tensor, or data and tensor parallel."""
